"""Checks the data of the embedded Redis for consistency, at each start."""

from collections.abc import Callable

from conversations.errors import ServiceError
from conversations.settings import Settings
from conversations.store.doctor import Doctor

__all__ = ["count_data", "examine_data", "repair_setup"]

_HINT = "see `conversations doctor`; with --repair it repairs the data"


async def repair_setup(settings: Settings, report: Callable[[str], None]) -> None:
    """Restore the record of how Redis was set up, if it is lost, and report it."""
    doctor = await Doctor.open(settings)
    try:
        repaired = await doctor.repair_setup()
    finally:
        await doctor.close()
    for sentence in repaired.sentences(repaired=True):
        report(f"repaired: {sentence}")


async def count_data(settings: Settings, report: Callable[[str], None]) -> None:
    """Compare counts that have to be equal, and report each difference. It takes milliseconds."""
    doctor = await Doctor.open(settings)
    try:
        differences = await doctor.count()
    finally:
        await doctor.close()
    for sentence in differences:
        report(f"the data is inconsistent: {sentence}")
    if differences:
        report(_HINT)


async def examine_data(settings: Settings, report: Callable[[str], None]) -> None:
    """Check everything, in the background, and report what is wrong, or that nothing is."""
    try:
        doctor = await Doctor.open(settings)
        try:
            found = await doctor.examine(half_speed=True)
        finally:
            await doctor.close()
    except ServiceError as error:
        report(f"the data could not be checked: {error}")
        return
    for sentence in found.sentences():
        report(f"the data is inconsistent: {sentence}")
    report(_HINT if found else "the data was checked and is consistent")
