"""Packs the ROS package: colcon installs it into a workspace, pip into an environment; both register it in the ament index."""

from glob import glob

from setuptools import setup

NODES = ("twin", "recorder", "hand_driver", "arm_driver", "object_pose", "velocity", "controller", "shadow_sim", "supervisor", "operator")

setup(
    name="dextrack",
    version="0.1.0",
    description="Runs a DexTrack reference or demonstration on a cell over ROS 2.",
    license="Apache-2.0",
    packages=["dextrack_ros"],
    package_data={"dextrack_ros": ["*.xml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/dextrack"]),
        ("share/dextrack", ["package.xml"]),
        ("share/dextrack/launch", glob("launch/*.launch.py")),
        ("share/dextrack/config", [*glob("config/*.yaml"), "dextrack_ros/loopback.xml"]),
    ],
    zip_safe=True,
    python_requires=">=3.10",
    install_requires=["dextrack-core[robot]"],
    entry_points={
        "console_scripts": [f"{node} = dextrack_ros.{node}:main" for node in NODES],
        # Verbs of the one command line; they live here because they start ROS nodes.
        "dextrack.verbs": [f"{verb} = dextrack_ros.{verb}:main" for verb in ("preflight", "track", "trials")],
    },
)
