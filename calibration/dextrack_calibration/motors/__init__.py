"""Motor identification: step responses of a hand over its bus -> kp, kv, effort and delay of each joint, as the simulators use them.

``plan`` chooses steps that touch nothing, ``excite`` makes them and takes the samples, ``finger`` simulates them, ``fit`` finds the motor whose
simulated responses are the measured ones, ``session`` does so for a hand, joint by joint, and ``result`` writes, tabulates and draws it.

Why it can be found: the joint's inertia is the model's (links, and ``armature`` of the motor behind its gear), so accelerations are torques. A step
that saturates the motor shows effort / inertia, the end of saturation kp and kv against effort, small steps kv / kp and the delay. All torques
are therefore as true as that inertia: twice the armature gives twice the kp, kv and effort, and the same motion.
"""
