"""Whether the data of the embedded Redis hold together, after any start."""

from collections.abc import Callable

from conversations.errors import ServiceError
from conversations.settings import Settings
from conversations.store.doctor import Doctor

__all__ = ["count_data", "examine_data", "repair_setup"]

_SOUND = (
    "the data were checked, as Redis had not ended by itself, or its files are not as it left them: what is there is "
    "as it should be"
)
_HINT = "`conversations doctor` says more, and repairs it with --repair"


async def repair_setup(settings: Settings, tell: Callable[[str], None]) -> None:
    """Write again how Redis was set up, where that is lost, and tell so."""
    doctor = await Doctor.open(settings)
    try:
        repaired = await doctor.repair_setup()
    finally:
        await doctor.close()
    for sentence in repaired.sentences(repaired=True):
        tell(f"repaired: {sentence}")


async def count_data(settings: Settings, tell: Callable[[str], None]) -> None:
    """Compare how many there are of what has to be as many, and tell each difference. It takes milliseconds."""
    doctor = await Doctor.open(settings)
    try:
        differences = await doctor.count()
    finally:
        await doctor.close()
    for sentence in differences:
        tell(f"the data do not hold together: {sentence}")
    if differences:
        tell(_HINT)


async def examine_data(settings: Settings, tell: Callable[[str], None]) -> None:
    """Look at everything, at leisure, and tell what is wrong, or that nothing is."""
    try:
        doctor = await Doctor.open(settings)
        try:
            found = await doctor.examine(half_speed=True)
        finally:
            await doctor.close()
    except ServiceError as error:
        tell(f"the data could not be checked: {error}")
        return
    for sentence in found.sentences():
        tell(f"the data do not hold together: {sentence}")
    tell(_HINT if found else "the data were checked: everything fits together")
