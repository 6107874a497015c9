"""Names of files in the ZIP of a batch's results."""

import time

from api.batch_results import Names
from db.models import Job, Output
from jobs.ids import new_id


def test_namesakes_are_numbered_and_cost_no_more_than_others() -> None:
    """A name has 120 characters at most, so that long custom ids of one beginning are all called alike."""
    names, output = Names(), Output(name="cutout", format="png")
    began = time.process_time()
    picked = [names.pick(Job(id=new_id(), custom_id="x" * 130 + str(n)), output) for n in range(5000)]
    took_s = time.process_time() - began
    assert len({name.casefold() for name in picked}) == len(picked)
    assert picked[:3] == ["x" * 120 + ending for ending in (".png", "-2.png", "-3.png")]
    assert took_s < 3  # were each counted from one, it would grow with the square


def test_a_numbered_name_that_is_taken_is_passed_over() -> None:
    names, output = Names(), Output(name="cutout", format="png")
    picked = [names.pick(Job(id=new_id(), custom_id=text), output) for text in ("A-2", "a", "A", "a", "a-2")]
    assert picked == ["A-2.png", "a.png", "A-3.png", "a-4.png", "a-2-2.png"]
