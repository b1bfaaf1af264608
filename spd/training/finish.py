"""The end of a training: the backbone is judged and written."""

from collections.abc import Mapping
from typing import Any

from spd import distributed
from spd.backbones import files
from spd.training.monitor import Monitor
from spd.training.probe import Probe, notes
from spd.training.settings import Outputs, Settings
from spd.training.state import State


def finish(
    settings: Settings,
    outputs: Outputs,
    state: State,
    probe: Probe,
    monitor: Monitor,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Judges the backbone on the held-out images, writes it and the history, and removes the checkpoint; rank
    0 does, while the others wait. Returns the training's summary."""
    steps = monitor.batches.steps
    summary: dict[str, Any] = {
        "steps": steps,
        "images": len(probe.train),
        "held_out": len(probe.held_out),
        "expected_loss": state.method.expected_loss,
    }
    if distributed.rank() == 0:
        judged: dict[str, Any] = {}
        if len(probe.held_out):
            state.save(steps)  # judging takes minutes of a large corpus, and may be killed
            judged = probe.evaluate(state.model)
            monitor.history.add(step=steps, **judged)
            judged["protocol"] = probe.protocol
        spd, views, identity = settings.spd, settings.recipe.views, state.identity
        metadata = {
            "method": settings.recipe.method,
            "eta": spd.eta if spd else 0.0,
            "spd": spd.model_dump(mode="json") if spd else None,
            "seed": settings.seed,
            "steps": steps,
            **{key: identity[key] for key in ("recipe", "data", "init")},
            "mean": list(views.mean),
            "std": list(views.std),
            "judged": judged,
            "notes": notes(judged),
            **provenance,
        }
        backbone = state.method.backbone
        files.export(backbone, outputs.backbone, architecture=settings.architecture, metadata=metadata)
        summary |= {"first_loss": monitor.history.first.get("loss"), "last": monitor.history.last}
        monitor.history.finish(outputs.history)
        outputs.checkpoint.unlink(missing_ok=True)
    distributed.barrier()
    return {**summary, "timing": monitor.timing()}
