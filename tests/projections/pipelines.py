"""Pipelines that are open."""

import asyncio

from projections.pipeline import Pipeline


async def opened(pipeline: Pipeline) -> None:
    """Wait until a pipeline that is being opened is open."""
    assert pipeline._opening is not None
    await pipeline._opening
    await asyncio.sleep(0)
