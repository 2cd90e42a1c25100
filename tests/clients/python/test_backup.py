"""A store comes back without its newest events: whoever had them is told, and nobody is ever called resumed.

Method: the folder of a stopped gateway is copied, events are published after that, and the copy takes the folder's place;
with the mark of the head that lay in it, and with the newer one, as if the store alone had lost its tail.
Source: protocol section 3, gap `epoch`; a peer went on and gave other events the places that were gone.
"""

import shutil

import pytest

from conftest import ROOMY
from readers import READERS


@pytest.fixture(scope="module", params=[False, True], ids=["all of it", "all but the mark"])
def taken_back(request, start_gateway, tmp_path_factory):
    """The gateway after that: the ids that are there, and those that are lost."""
    gateway = start_gateway("disk", ROOMY)
    kept = [gateway.publish("backup.a", number) for number in range(5)]
    gateway.stop()
    folder = tmp_path_factory.mktemp("backup")
    shutil.copytree(gateway.data_dir, folder / "copy")
    gateway.start()
    lost = [gateway.publish("backup.a", f"lost {number}") for number in range(5)]
    gateway.stop()
    newer = gateway.data_dir.rename(folder / "newer")
    shutil.copytree(folder / "copy", gateway.data_dir)
    if request.param:
        # Renamed, and not copied: it is the same file.
        (newer / "head").rename(gateway.data_dir / "head")
    gateway.start()
    return gateway, kept, lost


@pytest.mark.parametrize("name", READERS)
def test_a_store_that_lost_its_tail_is_told_as_a_gap_of_the_epoch(taken_back, name):
    gateway, kept, lost = taken_back
    new = gateway.publish("backup.b", "new")
    for cursor in [kept[0], kept[-1], *lost]:
        reader = READERS[name](gateway, ["backup.*"], cursor)
        events = [reader.next()]
        while events[-1]["id"] != new:
            events.append(reader.next())
        reader.cut()
        assert reader.resumed in (False, None)
        (gap,) = reader.gaps
        assert (gap["reason"], gap["topics"], gap["after"]) == ("epoch", ["backup.*"], cursor)
        data = [event["data"] for event in events if event["topic"] == "backup.a"]
        assert data == list(range(len(kept))), "the oldest retained events follow"
        assert not {event["id"] for event in events} & {*kept, *lost}, "an old id came again"
