"""Import mmpose over mmcv-lite, without mmdet and without xtcocotools.

mmpose's package imports, for networks that this project does not run, one class of mmcv's compiled
operations and two names of mmdet, and it reads COCO files by xtcocotools, whose wheel is built for
NumPy 1. During the import these have stand-ins, which raise if they are used; pycocotools, of the
same interface, stands in for xtcocotools. Where the real ones are installed they are used.
"""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from types import ModuleType
from typing import Any

from pipeline.backends.checkpoints import library

INSTALL = "`pip install --no-deps mmpose==1.3.2 mmcv-lite==2.1.0 mmengine==0.10.7`"
COCO_MODULES = ("", ".coco", ".cocoeval", ".mask")


def import_mmpose() -> ModuleType:
    """mmpose with all its networks registered; a `ReidError` names what to install."""
    if "mmpose" in sys.modules:
        return sys.modules["mmpose"]
    # mmengine asks for it where it is installed; it is of no use here, and says what it lacks
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # about the parts of mmcv that are not there, and setuptools
        warnings.simplefilter("ignore")
        library("mmcv", INSTALL)
        added = _stand_ins()
        sys.modules.update(added)
        try:
            library("mmpose.apis", INSTALL)
            return library("mmpose", INSTALL)
        finally:
            for name in added:
                sys.modules.pop(name, None)


def _stand_ins() -> dict[str, ModuleType]:
    modules: dict[str, ModuleType] = {}
    if not _works("mmcv.ops"):
        modules["mmcv.ops"] = _module("mmcv.ops", MultiScaleDeformableAttention=_absent)
    if not _works("mmdet"):
        modules["mmdet"] = _module("mmdet")
        modules["mmdet.utils"] = _module("mmdet.utils", ConfigType=Any, reduce_mean=_absent)
    if not _works("xtcocotools.mask"):
        for name in COCO_MODULES:
            real = library("pycocotools" + name, "`pip install pycocotools`")
            modules["xtcocotools" + name] = real
    return modules


def _works(name: str) -> bool:
    try:
        importlib.import_module(name)
    except (ImportError, ValueError):  # ValueError: built for another NumPy
        return False
    return True


def _module(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    module.__path__ = []
    vars(module).update(members)
    return module


def _absent(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("this network needs the full mmcv or mmdet, which is not installed")
