"""From a store and its ledger to rows, scores, tables, pictures and a page."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dextrack.cli.evaluate import main
from dextrack.demonstrations import store
from dextrack.errors import DexTrackError
from dextrack.evaluation import failure_table, mining_page, poster, results
from dextrack.evaluation.film_strip import FilmStrip, KeyFrame
from dextrack.evaluation.gallery import Exhibit, moments
from dextrack.evaluation.mining_table import figure, table
from dextrack.evaluation.motion import reached
from dextrack.evaluation.results import Result, collect, summary
from dextrack.hands import load_hand
from dextrack.mining import ledger
from dextrack.mining.demonstrating import demonstrate
from dextrack.mining.failure import CAUSES, FRAGILE, NEVER, SLIPPED, UNREACHABLE, Failure
from dextrack.mining.prediction import Prediction
from dextrack.references.reference import Reference
from dextrack.sim.scene import build_scene
from tests import synthetic


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load(Path(__file__).parent.parent / "mining" / "box_lift.npz")


@pytest.fixture
def mined(tmp_path: Path, reference: Reference) -> Path:
    """A store of one failed task, whose ledger knows of a refused one and a killed one too."""
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "objects").mkdir()
    synthetic.box().save(tmp_path / "objects" / "box.npz")
    still = np.tile(reference.hand[0], (reference.n_steps, 1))
    scene = build_scene(load_hand(reference.hand_name), reference.base_quaternion_w, synthetic.box())
    made = demonstrate(scene, reference, synthetic.box(), still, {"tracker": "sampling", "control_steps": 1000, "physics_seconds": 0.5}, 0.0, 1)
    made = dataclasses.replace(made, provenance={**made.provenance, "seconds": 1.0})
    path = folder / "demonstrations.h5"
    name = store.save(path, made)
    book = ledger.Ledger(ledger.path_of(path))
    book.append(ledger.Row(name, ledger.MINED, "0", verdict=made.verdict, metrics=made.metrics, seconds=4.0, cpu_seconds=7.2, control_steps=1000))
    book.append(ledger.Row("comet_catch@leap_right", ledger.REFUSED, "1", why="faster than any arm"))
    book.append(ledger.Row("cursed_lift@leap_right", ledger.KILLED, "2", why="signal 9"))
    book.close()
    return path


def test_a_store_and_its_ledger_become_results(mined: Path) -> None:
    box, comet, cursed = collect(mined)
    assert [r.state for r in (box, comet, cursed)] == ["mined", "refused", "killed"]
    assert box.failure is not None and box.failure.cause == NEVER and box.prediction is not None
    assert comet.failure is not None and comet.failure.cause == UNREACHABLE and comet.failure.why == "faster than any arm"
    assert cursed.failure is None and cursed.why == "signal 9"
    assert [r.task for r in collect(mined, hand="leap_right")] == [r.task for r in (box, comet, cursed)]
    with pytest.raises(DexTrackError, match="no task of hand allegro_right"):
        collect(mined, hand="allegro_right")
    numbers = summary([box, comet, cursed], total=10)
    assert numbers["n"] == 10 and numbers["whole_verdict"] == numbers["within_20deg_and_lifted"] == 0
    assert numbers["mean_seconds"] == 4.0 and numbers["core_hours"] == pytest.approx(0.002)
    assert numbers["physics_share"] == 0.5, "of the attempt that was timed, not of the whole task"
    assert numbers["causes"] == {NEVER: 1, UNREACHABLE: 1}
    assert box.finger_speed and comet.finger_speed is None
    good = dataclasses.replace(box, verdict={"passed": True})
    numbers = summary([good, dataclasses.replace(good, finger_speed=1.01)])
    assert (numbers["whole_verdict"], numbers["whole_verdict_within_motor_speed"]) == (2, 1)


def test_what_cannot_be_explained_is_told_and_keeps_no_other_from_it(mined: Path, tmp_path: Path, data_folder: Path) -> None:
    """An object that went, a refusal that no recording is to blame for, and a store in which nothing is."""
    (tmp_path / "objects" / "box.npz").unlink()
    book = ledger.Ledger(ledger.path_of(mined))
    book.append(ledger.Row("comet_pass@leap_right", ledger.REFUSED, "1", why="object 'comet' is not known", error="InputError"))
    book.close()
    box, catch, other, _ = collect(mined)
    assert "object 'box' is not known" in box.why and box.failure is None and box.part("lifted") == "failed"
    assert catch.failure is not None and other.failure is None
    listed = {e.name: (e.cause, e.finding) for e in failure_table.entries([box, catch, other])}
    assert listed["box_lift"][0] == "not explained" and listed["comet_pass"] == ("not mined", "refused: object 'comet' is not known")
    assert main([str(mined), "--out", str(tmp_path / "out"), "--no-pictures"]) == 0
    assert set(poster.COLOURS) == set(failure_table.MEANINGS), "a card of every cause can be drawn"
    mined.unlink()
    assert {r.state for r in collect(mined)} == {"mined", "refused", "killed"}


def test_the_verb_writes_a_page_and_tables(mined: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "evaluation"
    assert main([str(mined), "--out", str(out), "--no-pictures", "--json", str(tmp_path / "copy.json")]) == 0
    assert "0 of 3 tasks pass" in capsys.readouterr().out
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "faster than any arm" in page and "never reached" in page and "data:image" not in page
    with (out / "tasks.csv").open(encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    assert [row["cause"] for row in rows] == [NEVER, UNREACHABLE, ""]
    told = json.loads((out / "tasks.json").read_text())
    assert told["tasks"][0]["failure"]["cause"] in CAUSES and told["tasks"][0]["predicted_passed"] > 0.0
    assert json.loads((tmp_path / "copy.json").read_text()) == told
    failures = (out / "failures.md").read_text(encoding="utf-8")
    assert "| comet_catch | unreachable | refused | - | faster than any arm |" in failures
    assert "| cursed_lift | not mined | - | - | killed: signal 9 |" in failures


@pytest.mark.slow
def test_failures_are_shown_in_pictures(mined: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    assert main([str(mined), "--out", str(out), "--width", "96"]) == 0
    assert (out / "report.html").read_text(encoding="utf-8").count("data:image/jpeg") == 10, "five moments of the reference and of the replay"
    with Image.open(out / "failures.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert pixels.shape[0] > 100 and pixels.std() > 20, "a picture with something in it"


def test_a_store_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DexTrackError, match="no such file"):
        main([str(tmp_path / "none.h5"), "--out", str(tmp_path / "out")])
    with pytest.raises(DexTrackError, match="64 to 1280"):
        main([str(tmp_path / "none.h5"), "--width", "2"])


def fake(task: str, passed: bool, said: float) -> Result:
    state = "passed" if passed else "failed"
    verdict: dict[str, Any] = {"passed": passed, **{part: {"state": state, "why": "", "numbers": {}} for part in results.PARTS}}
    metrics = {"t_err_m": 0.01, "r_err_rad": 0.1, "e_wrist": 0.1, "e_finger_rad": 0.1, "success_20": passed, "success_40": True}
    failure = None if passed else Failure("pinch slipped", "held", 50, "slipped", {"slip_m": 0.03})
    return Result(task, "mined", "", metrics, verdict, {"seconds": 30.0, "control_steps": 5.0}, failure, Prediction(said, said, "", {}))


def test_scores_of_predictions_by_hand() -> None:
    """Of four tasks one fails unforeseen and one passes against the odds: precision and recall of failures are a half each."""
    told = [fake("a_x@h", True, 0.9), fake("b_x@h", False, 0.2), fake("c_x@h", False, 0.7), fake("d_x@h", True, 0.4)]
    scores = mining_page.prediction_scores(told)["passed"]
    assert (scores["accuracy"], scores["failure_precision"], scores["failure_recall"], scores["base_rate"]) == (0.5, 0.5, 0.5, 0.5)
    assert scores["brier"] == pytest.approx((0.01 + 0.04 + 0.49 + 0.36) / 4) and scores["brier_base"] == 0.25
    assert mining_page.prediction_scores([]) == {}


def test_tables_and_figure_of_a_bench(tmp_path: Path) -> None:
    told = [dataclasses.replace(fake("a_x@h", True, 0.9), surveyed=1.0), dataclasses.replace(fake("b_x@h", False, 0.2), surveyed=23 / 24)]
    rows = [
        {"task": r.task, "reference": r.task[:3], "hand": "h", "state": "mined", "why": "", "part": "test seen",
         "cause": r.as_row().get("cause"), "prediction": r.prediction.as_dict(),
         "replay": None, "sampling": r.as_row(), "rl": None} for r in told if r.prediction
    ]  # fmt: skip
    content = {
        "hand": "h", "n": 2, "command": "c", "date": "2026-01-01", "machine": {"cores": 2}, "aims": {"whole_verdict": 0.55}, "rows": rows,
        "sampling": summary(told), "replay": summary([]), "by_part": {"train": summary(told)},
        "prediction": {"held out": mining_page.prediction_scores(told)}, "brittleness": {"b_x@h": {"mass": 7, "place": 6}, "c_x@h": {"mass": 8, "place": 0}},
    }  # fmt: skip
    text = table(content)
    assert "| whole verdict | 0 (0 %) | 1 (50 %) |" in text and "pinch slipped: slipped" in text
    assert "2 lift and hold, and are not robust" in text and "| b_x | 7 | 6 |" in text and "| enough of them in | 2 | 0 |" in text
    assert "| all | 1 | 1 |\n| 0.9 and more, not all | 1 | 0 |\n| 0.75 to 0.9 | 0 | 0 |" in text
    figure(content).savefig(tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 5000


def failed(task: str, cause: str, why: str, perturbed: str = "") -> Result:
    return Result(task, "mined", failure=Failure(cause, "held", 60, why, {"time_s": 1.0}, perturbed=perturbed))


def test_failures_are_listed_by_cause_and_none_is_left_out() -> None:
    refused = Result("z_a@h", "refused", failure=Failure(UNREACHABLE, "refused", 0, "recording z_a: no thumb. Remedy: a better one.", {}))
    listed = [failed("b_x@h", FRAGILE, "4 of 8", SLIPPED), failed("a_x@h", SLIPPED, "slipped | fell"), Result("k_x@h", "killed", "signal 9"), refused]
    # One that passes its verdict and is 25 degrees off: told apart, because it is no failure of the verdict.
    turned = dataclasses.replace(fake("t_x@h", True, 0.9), failure=Failure("rotated away", "rotation", 30, "25 degrees off", {"time_s": 0.5}))
    told = [*listed, fake("good_x@h", True, 0.9), turned]
    entries = failure_table.entries(told)
    assert [e.name for e in entries] == ["z_a", "a_x", "t_x", "b_x", "k_x"]
    assert [e.finding for e in entries][0] == "no thumb." and entries[3].label == "not robust: pinch slipped"
    text = failure_table.table(told, "Failures")
    assert "2 of 6 tasks pass the whole verdict, 4 fail it, and 1 of those that pass is more than 20° off" in text
    assert "| never reached | 0 |" in text and "| torque limit | 0 |" in text, "that nothing failed by a cause is told"
    assert "| a_x | pinch slipped | held | 1.00 s | slipped \\| fell |" in text
    assert text.count("_x | ") + text.count("z_a | ") == len(entries)


def test_the_poster_has_a_card_for_every_failure(tmp_path: Path) -> None:
    """Of two failures one has pictures, a red one and a green one; the other's card says that it has none."""
    pictures = tuple(np.full((30, 40, 3), colour, dtype=np.uint8) for colour in ((250, 0, 0), (0, 250, 0)))
    strip = FilmStrip(("demonstration",), (KeyFrame("before", 0.5), KeyFrame("failure", 0.75)), (pictures,), (("", ""),), ())
    told = [failed("a_x@h", SLIPPED, "slipped far " * 60), failed("b_x@h", FRAGILE, "4 of 8", SLIPPED)]
    shown = Exhibit("a_x@h", told[0].failure or Failure("", "", 0, "", {}), strip, telling=(0, 1))
    drawn = poster.poster(told, [shown]).astype(int)
    for channel in (0, 1):
        others = drawn.sum(axis=2) - drawn[..., channel]
        area = ((drawn[..., channel] > 200) & (others < 30)).sum()
        assert area > 0.85 * poster.PICTURE[0] * poster.PICTURE[1], "the picture, but for the time that is written on it"
    for cause in (SLIPPED, FRAGILE):
        colour = tuple(int(poster.COLOURS[cause][i : i + 2], 16) for i in (1, 3, 5))
        assert (drawn == colour).all(axis=2).sum() > 2000
    poster.save(tmp_path / "p.png", told, [shown])
    with Image.open(tmp_path / "p.png") as saved:
        assert saved.size == (drawn.shape[1], drawn.shape[0])
    font = poster._font(11)
    lines = poster.wrapped("slipped far " * 60, font, 200, 3).split("\n")
    assert len(lines) == 3 and lines[-1].endswith("…") and all(font.getlength(line) <= 200 for line in lines)


def test_moments_are_in_order_and_inside(reference: Reference) -> None:
    motion = reached(reference, reference.hand, reference.object_position_w, reference.object_quaternion_w, "demonstration")
    for frame, onset in ((0, 79), (90, 79), (reference.n_steps, 79), (100, reference.n_steps + 1)):
        times = [key.time for key in moments(motion, Failure("x", "held", frame, "", {}), onset)]
        assert times == sorted(times) and times[0] >= 0.0 and times[-1] == motion.time[-1]
        assert times[2] == pytest.approx(frame * reference.period)


def test_evidence_is_told_with_units() -> None:
    told = mining_page.evidence(
        {"slip_m": 0.031, "leaving_m_s": 0.5, "rotation_error_rad": np.pi / 4, "time_s": 1.5, "saturated": 0.75, "hand_force_max_n": 12.0}
    )
    assert told == "slip 3.1 cm, leaving 0.5 m/s, rotation error 45 deg, time 1.5 s, saturated 0.75, hand force max 12 N"
