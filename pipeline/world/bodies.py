"""A person's looks: measures, gait, hair and clothes drawn from a seed, and their solids."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from pipeline.world.gait import BONE, Body, Gait
from pipeline.world.paint import PATTERN
from pipeline.world.shapes import Solids, make_solids

PARTS = (  # numbers of the part map; 0 is what is not the person
    "none", "head", "hair", "torso", "right_arm", "right_forearm", "left_arm", "left_forearm",
    "pelvis", "right_thigh", "right_shin", "right_foot", "left_thigh", "left_shin", "left_foot",
    "skirt", "bag",
)  # fmt: skip
PART = {name: number for number, name in enumerate(PARTS)}

SKINS = ((0.93, 0.76, 0.65), (0.85, 0.65, 0.52), (0.72, 0.52, 0.38), (0.50, 0.34, 0.24),
         (0.33, 0.22, 0.16))  # fmt: skip
HAIRS = ((0.07, 0.06, 0.06), (0.17, 0.11, 0.07), (0.32, 0.20, 0.11), (0.62, 0.48, 0.28),
         (0.55, 0.54, 0.52), (0.38, 0.14, 0.07))  # fmt: skip
GREYS = ((0.07, 0.07, 0.08), (0.17, 0.17, 0.19), (0.33, 0.33, 0.35), (0.56, 0.56, 0.57),
         (0.87, 0.87, 0.85), (0.12, 0.15, 0.26), (0.22, 0.30, 0.45), (0.62, 0.54, 0.42),
         (0.30, 0.24, 0.18), (0.25, 0.28, 0.20))  # fmt: skip
TOPS = ("plain", "plain", "plain", "hoops", "stripes", "checks", "open", "yoke", "print")


@dataclass(frozen=True)
class Outfit:
    """Clothes that several people may share."""

    top: tuple[float, ...]  # colour
    top_second: tuple[float, ...]  # the pattern's other colour
    pattern: str  # a name of `paint.PATTERN`
    period: float  # of the pattern, metres
    sleeves: float  # covered share of the whole arm: 0.3 is short, 0.93 long
    bottom: tuple[float, ...]
    legs: str  # trousers, shorts, skirt
    leg_length: float  # covered share of the leg
    coat: float  # length of the top below the hips, metres


@dataclass(frozen=True)
class Person:
    """One identity, or one passer-by."""

    body: Body
    gait: Gait
    outfit: Outfit
    skin: tuple[float, ...]
    hair: tuple[float, ...]
    hair_style: str  # short, long, bun, bald, cap
    hat: tuple[float, ...]
    shoes: tuple[float, ...]
    bag: str  # none, backpack, shoulder, hand
    bag_colour: tuple[float, ...]
    bag_side: int  # -1 right, 1 left


def draw_outfit(rng: np.random.Generator, saturated: float) -> Outfit:
    """Random clothes; `saturated` is the share of garments that are not of a muted colour."""
    legs = str(rng.choice(["trousers", "trousers", "trousers", "shorts", "skirt"]))
    lengths = {"trousers": (0.9, 0.97), "shorts": (0.35, 0.5), "skirt": (0.42, 0.75)}
    sleeves = rng.choice([rng.uniform(0.18, 0.3), rng.uniform(0.84, 0.92)], p=[0.5, 0.5])
    return Outfit(
        top=draw_colour(rng, saturated),
        top_second=draw_colour(rng, max(saturated, 0.5)),
        pattern=str(rng.choice(TOPS)),
        period=float(rng.uniform(0.09, 0.2)),
        sleeves=float(sleeves),
        bottom=draw_colour(rng, 0.5 * saturated),
        legs=legs,
        leg_length=float(rng.uniform(*lengths[legs])),
        coat=float(rng.choice([0.02, 0.08, 0.3], p=[0.45, 0.4, 0.15])),
    )


def draw_colour(rng: np.random.Generator, saturated: float) -> tuple[float, ...]:
    """A muted colour, or with probability `saturated` one of any hue."""
    if rng.random() >= saturated:
        base = np.array(GREYS[rng.integers(len(GREYS))]) * rng.uniform(0.8, 1.2)
        return tuple((base + rng.normal(0, 0.012, 3)).clip(0.03, 0.95).tolist())
    hue = float(rng.random())
    return colorsys.hsv_to_rgb(hue, float(rng.uniform(0.45, 0.9)), float(rng.uniform(0.3, 0.9)))


def draw_body(rng: np.random.Generator) -> Body:
    """Random measures of an adult."""
    height = float(np.clip(rng.normal(1.71, 0.09), 1.5, 1.95))
    leg = height * float(rng.uniform(0.44, 0.475))  # hip joint to ankle
    return Body(
        height=height,
        girth=float(np.clip(rng.lognormal(0, 0.13), 0.78, 1.4)),
        shoulders=height * float(rng.uniform(0.088, 0.112)),
        hips=height * float(rng.uniform(0.05, 0.062)),
        thigh=0.52 * leg,
        shin=0.48 * leg,
        trunk=height * 0.3,
        arm=height * 0.172,
        forearm=height * 0.15,
        head=height * float(rng.uniform(0.058, 0.064)),
    )


def draw_gait(rng: np.random.Generator) -> Gait:
    """A random way of walking."""
    return Gait(
        steps_hz=float(rng.uniform(0.75, 1.05)),
        stride=float(rng.uniform(0.3, 0.5)),
        knee=float(rng.uniform(0.7, 1.1)),
        arms=float(rng.uniform(0.15, 0.6)),
        elbow=float(rng.uniform(0.1, 0.7)),
        spread=float(rng.uniform(0.06, 0.2)),
        lean=float(rng.uniform(-0.02, 0.14)),
        sway=float(rng.uniform(0.03, 0.15)),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


def draw_person(rng: np.random.Generator, outfit: Outfit, saturated: float) -> Person:
    """A random person in these clothes."""
    styles = ["short", "short", "long", "bun", "bald", "cap"]
    bags = ["none", "backpack", "shoulder", "hand"]
    return Person(
        body=draw_body(rng),
        gait=draw_gait(rng),
        outfit=outfit,
        skin=SKINS[rng.integers(len(SKINS))],
        hair=HAIRS[rng.integers(len(HAIRS))],
        hair_style=str(rng.choice(styles)),
        hat=draw_colour(rng, saturated),
        shoes=draw_colour(rng, 0.3),
        bag=str(rng.choice(bags, p=[0.4, 0.25, 0.2, 0.15])),
        bag_colour=draw_colour(rng, saturated),
        bag_side=int(rng.choice([-1, 1])),
    )


def at_phase(person: Person, phase: float) -> Person:
    """The same person, elsewhere in the walking cycle at time 0."""
    return replace(person, gait=replace(person.gait, phase=phase))


def solids_of(person: Person) -> Solids:
    """The capsules of a person, on the bones of `gait.BONES`."""
    rows = _head(person) + _trunk(person) + _bag(person)
    for side, sign in (("right", -1), ("left", 1)):
        rows += _limbs(person, side, sign)
    return make_solids(rows)


def _capsule(bone: str, part: str, start, end, radius: float, colour, **look) -> dict:
    return {"bone": BONE[bone], "part": PART[part], "start": np.array(start, float),
            "end": np.array(end, float), "radius": radius, "colour": np.array(colour),
            **look}  # fmt: skip


def _head(person: Person) -> list[dict]:
    r, skin, hair = person.body.head, person.skin, person.hair
    rows = [
        _capsule("head", "head", [0.02, 0, 0.95 * r], [0, 0, 1.75 * r], 0.93 * r, skin),
        _capsule("head", "head", [-0.01, 0, -0.03], [0, 0, 0.5 * r], 0.55 * r, skin),
    ]
    if person.hair_style == "cap":
        rows.append(_capsule("head", "hair", [-0.1 * r, 0, 2.05 * r], [0.1 * r, 0, 2.1 * r],
                             0.86 * r, person.hat))  # fmt: skip
        peak = [0.7 * r, 0, 2.1 * r], [1.35 * r, 0, 2.0 * r]
        rows.append(_capsule("head", "hair", *peak, 0.25 * r, person.hat))
    if person.hair_style not in ("bald", "cap"):
        rows.append(_capsule("head", "hair", [-0.35 * r, 0, 1.5 * r], [-0.1 * r, 0, 2.0 * r],
                             0.95 * r, hair))  # fmt: skip
    if person.hair_style == "long":
        rows.append(_capsule("head", "hair", [-0.55 * r, 0, 1.4 * r], [-0.75 * r, 0, -0.8 * r],
                             0.72 * r, hair))  # fmt: skip
    if person.hair_style == "bun":
        bun = [-1.15 * r, 0, 2.1 * r], [-1.2 * r, 0, 2.1 * r]
        rows.append(_capsule("head", "hair", *bun, 0.45 * r, hair))
    return rows


def _trunk(person: Person) -> list[dict]:
    body, outfit = person.body, person.outfit
    chest, waist = 0.108 * body.girth, 0.112 * body.girth**1.3
    look = {
        "colour": outfit.top, "second": outfit.top_second, "pattern": PATTERN[outfit.pattern],
        "period": outfit.period,
    }  # fmt: skip
    across, top = max(body.shoulders - 0.6 * chest, 0.05), body.trunk - chest - 0.01
    inner = 0.55 * body.hips
    rows = [
        _capsule("torso", "torso", [0, s * across, top], [0, s * inner, 0.1], chest, **look)
        for s in (-1, 1)
    ]
    rows.append(_capsule("torso", "torso", [0.02, 0, top], [0.02, 0, 0.1], waist, **look))
    across, high = body.shoulders - 0.03, body.trunk - 0.065
    slope = [0, -across, high], [0, across, high]
    rows.append(_capsule("torso", "torso", *slope, 0.06 * body.girth, **look))
    wide = 0.118 * body.girth
    hips = [0, -0.6 * body.hips, 0.02], [0, 0.6 * body.hips, 0.02]
    rows.append(_capsule("pelvis", "pelvis", *hips, wide, outfit.bottom))
    if outfit.coat > 0.05:
        for s in (-1, 1):
            low = [0, s * 0.8 * body.hips, -outfit.coat + 0.08], [0, s * inner, 0.1]
            rows.append(_capsule("pelvis", "torso", *low, wide * 1.08, **look))
    if outfit.legs == "skirt":
        length = outfit.leg_length * (body.thigh + body.shin)
        for s in (-1, 0, 1):
            hem = [0, s * 1.1 * body.hips, -length + 0.1], [0, s * 0.5 * body.hips, 0]
            rows.append(_capsule("pelvis", "skirt", *hem, wide * 1.04, outfit.bottom))
    return rows


def _limbs(person: Person, side: str, sign: int) -> list[dict]:
    body, outfit, skin = person.body, person.outfit, np.array(person.skin)
    thick = np.sqrt(body.girth)
    covered = outfit.sleeves * (body.arm + body.forearm)
    arms = {"under": skin, "second": outfit.top_second, "period": outfit.period}
    if outfit.pattern in ("hoops", "checks"):
        arms["pattern"] = PATTERN[outfit.pattern]
    down = np.array([0, 0, -1.0])
    zero = np.zeros(3)
    rows = [
        _capsule(f"{side}_arm", f"{side}_arm", zero, body.arm * down, 0.05 * thick, outfit.top,
                 cut=-covered, **arms),
        _capsule(f"{side}_forearm", f"{side}_forearm", zero, (body.forearm + 0.07) * down,
                 0.04 * thick, outfit.top, cut=-max(covered - body.arm, -1), **arms),
    ]  # fmt: skip
    leg = outfit.leg_length * (body.thigh + body.shin)
    loose = {"trousers": 1.1, "shorts": 1.12, "skirt": 1.25}[outfit.legs]
    calf = loose if outfit.legs == "trousers" else 1.0
    rows += [
        _capsule(f"{side}_thigh", f"{side}_thigh", zero, body.thigh * down, 0.082 * thick * loose,
                 outfit.bottom, under=skin, cut=-leg),
        _capsule(f"{side}_shin", f"{side}_shin", zero, body.shin * down, 0.056 * thick * calf,
                 outfit.bottom, under=skin, cut=-(leg - body.thigh)),
        _capsule(f"{side}_foot", f"{side}_foot", [-0.03, 0, -0.035], [0.15, sign * 0.015, -0.045],
                 0.043, person.shoes),
    ]  # fmt: skip
    return rows


def _bag(person: Person) -> list[dict]:
    body, colour, side = person.body, person.bag_colour, person.bag_side
    back = -0.108 * body.girth
    if person.bag == "backpack":
        high, low = body.trunk - 0.16, body.trunk - 0.38
        rows = [
            _capsule("torso", "bag", [back - 0.06, s * 0.06, high], [back - 0.07, s * 0.06, low],
                     0.11, colour) for s in (-1, 1)
        ]  # fmt: skip
        for s in (-1, 1):
            strap = [-0.85 * back, s * 0.085, body.trunk - 0.14], [-0.95 * back, s * 0.09, 0.2]
            rows.append(_capsule("torso", "bag", *strap, 0.026, colour))
            over = [back, s * 0.08, body.trunk - 0.1], [0, s * 0.08, body.trunk - 0.02]
            rows.append(_capsule("torso", "bag", *over, 0.028, colour))
            down = [0, s * 0.08, body.trunk - 0.02], [-0.85 * back, s * 0.085, body.trunk - 0.14]
            rows.append(_capsule("torso", "bag", *down, 0.028, colour))
        return rows
    if person.bag == "shoulder":
        out = side * (body.hips + 0.15 * body.girth)
        bag = [0.08, out, -0.02], [-0.1, out, -0.02]
        strap = [-back, 0, body.trunk - 0.26], [0.01, -side * 0.1, body.trunk - 0.04]
        lower = [-back, side * 0.06, 0.16], [-back, 0, body.trunk - 0.26]
        return [_capsule("torso", "bag", *bag, 0.1, colour),
                _capsule("torso", "bag", *strap, 0.03, colour),
                _capsule("torso", "bag", *lower, 0.03, colour)]  # fmt: skip
    if person.bag == "hand":
        wrist = -body.forearm - 0.12
        bag = [0.08, 0, wrist - 0.14], [-0.08, 0, wrist - 0.14]
        name = "right_forearm" if side < 0 else "left_forearm"
        return [_capsule(name, "bag", *bag, 0.1, colour)]
    return []
