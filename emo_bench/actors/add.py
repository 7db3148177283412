"""Add a person's video to the library: find the face, crop, track and store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from emo_bench.actors import library
from emo_bench.actors.add_report import AddReport, write_info
from emo_bench.actors.beliefs import Beliefs
from emo_bench.actors.capture import resize_area
from emo_bench.actors.carrying import CarriedCuts
from emo_bench.actors.crop import Crop, head_and_shoulders
from emo_bench.actors.face_finding import Person, find_person
from emo_bench.actors.foreground import Cut
from emo_bench.actors.half_made import making, put_in_place
from emo_bench.actors.names import check_name
from emo_bench.actors.outline import fit_outline, place_of, torso_motion, with_outline
from emo_bench.actors.person_cutter import NETWORK_PX, PersonCutter
from emo_bench.actors.stored_size import check_size, size_notes, stored_size
from emo_bench.actors.track import POSES, Track, pack_foreground, pack_shares
from emo_bench.actors.upright import quarter_turns
from emo_bench.errors import UserError
from emo_bench.progress import track_progress
from emo_bench.tracking.fit import TrackFit, fit_track
from emo_bench.tracking.fit_threads import one_thread
from emo_bench.tracking.head_rig import EXPRESSIONS
from emo_bench.tracking.landmarks import Detection, Landmarker
from emo_bench.video.reading import VideoInfo, decode_video, probe_video
from emo_bench.video.writing import Encoding, VideoWriter

LEAST_FRAMES = 60
LEAST_SIDE_PX = 96
FOREGROUND_PX = 128
OUTLINE_FRAMES, OUTLINE_PX = 16, 640
# So many times as many frames are sampled, because the person may not be in all of them.
SPARE = 4
KEYFRAME_EVERY = 12
# H.264 at visually lossless quality, with full-resolution colour and fast seeking.
RECORDING = Encoding(
    "mp4",
    "libx264",
    "yuv444p",
    {"crf": "12", "preset": "medium", "bf": "0", "g": str(KEYFRAME_EVERY)},
    {"movflags": "+faststart"},
)


@dataclass(frozen=True)
class _Seen:
    """In which frames the tracked face was found, and a few whole frames, reduced in size, by frame number."""

    frames: np.ndarray
    total: int
    samples: dict[int, np.ndarray]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Faces:
    """The tracked face in the B frames where it was found: MediaPipe's output in the whole picture, float32."""

    landmarks478: np.ndarray
    expression: np.ndarray
    matrix: np.ndarray


def add_video(
    path: Path | str,
    name: str | None = None,
    *,
    size_px: int | None = None,
    replace: bool = False,
    progress: bool = True,
) -> AddReport:
    """Track a video of one person and store it as a capture.

    The video is decoded twice: once to find the face and once, after the fit, to crop and store.

    Args:
        path: the video.
        name: the actor's name; by default the name of the file.
        size_px: side of the stored frames; by default that of head and shoulders in the video, at most 1024.
        replace: overwrite an actor of that name.
        progress: show progress bars.

    Raises:
        UserError: the video cannot be used; the message says why and what to do.
    """
    started = time.monotonic()
    path = Path(path)
    name = check_name(name if name is not None else path.stem)
    check_size(size_px)
    # Before the long work, so that a network that is missing is told at once.
    cutter = PersonCutter()
    target = library.require_free(name, replace=replace)
    info = probe_video(path)
    _check_length(info, info.frames)
    info, seen, faces = _find_face(info, progress)
    boxes = np.concatenate([faces.landmarks478.min(axis=1), faces.landmarks478.max(axis=1)], axis=1)
    crop = head_and_shoulders(boxes.astype(np.float64), info.width, info.height)
    if crop.side < LEAST_SIDE_PX:
        raise UserError(
            f"the face in {path.name} is too small ({crop.side} px for head and shoulders, at least "
            f"{LEAST_SIDE_PX} are needed): use a closer shot"
        )
    stored_px = stored_size(crop, size_px)
    fit = _fit(info, seen, faces, progress)
    track = _track(info, seen, faces, fit, crop, stored_px)
    # A long video has many landmarks; from here on those of the track are enough.
    del faces
    notes = (*info.notes, *seen.notes, *size_notes(crop, size_px, target))
    report = AddReport(
        name=name,
        folder=target,
        frames=seen.total,
        fps=float(info.fps),
        size_px=stored_px,
        crop=crop,
        focal_px=track.focal_px,
        missing=tuple(int(i) for i in np.flatnonzero(~track.face_found)),
        error_percent=100.0 * float(fit.errors.mean()),
        worst_error_percent=100.0 * float(fit.errors.max()),
        tracking_fps=seen.total / max(time.monotonic() - started, 1e-9),
        notes=notes,
    )
    return _store(info, seen, fit, track, report, cutter, started, progress)


def _check_length(info: VideoInfo, frames: int, why: tuple[str, ...] = ()) -> None:
    if frames < LEAST_FRAMES:
        reasons = f" ({'; '.join(why)})" if why else ""
        raise UserError(
            f"{info.path.name} has {frames} usable frames and at least {LEAST_FRAMES} are needed{reasons}: "
            f"give a longer video of one person"
        )


def _find_face(info: VideoInfo, progress: bool) -> tuple[VideoInfo, _Seen, _Faces]:
    """Find the person; a video that lies on its side is turned, and what is returned is the turned one."""
    with Landmarker() as landmarker:
        person, samples, notes = _follow(info, landmarker, progress)
        turns = quarter_turns(person.faces, list(samples.values()), landmarker)
        if turns:
            info = info.turned(turns)
            person, samples, notes = _follow(info, landmarker, progress)
    chosen, total = person.faces, len(person.faces)
    frames = np.array([i for i, face in enumerate(chosen) if face is not None], dtype=np.int64)
    if len(frames) < 0.5 * total:
        raise UserError(
            f"{info.path.name} shows the face of one person in only {len(frames)} of {total} frames: "
            f"give a video in which one face is in view most of the time"
        )
    _check_length(info, len(frames), person.notes)
    notes += person.notes
    if total < info.frames:
        notes.append(f"the file is damaged: only its first {total} frames could be decoded")
    with_face = [number for number in samples if chosen[number] is not None]
    kept = with_face[:: max(len(with_face) // OUTLINE_FRAMES, 1)]
    samples = {number: samples[number] for number in kept}
    return info, _Seen(frames, total, samples, tuple(notes)), _as_arrays(chosen)


def _follow(info: VideoInfo, landmarker: Landmarker, progress: bool) -> tuple[Person, dict[int, np.ndarray], list[str]]:
    """Return the person of a video, reduced frames by number, and facts about the frames."""
    samples: dict[int, np.ndarray] = {}
    notes: list[str] = []
    with _bar(progress, info.frames, "landmarks") as advance:
        person = find_person(_sampling(info, notes, samples), landmarker, float(info.fps), advance)
    return person, samples, notes


def _sampling(info: VideoInfo, notes: list[str], samples: dict[int, np.ndarray]) -> Iterator[np.ndarray]:
    """Decode a video, and keep reduced frames that are spread over it: some of them may not show the person."""
    every = max(info.frames // (SPARE * OUTLINE_FRAMES), 1)
    for number, frame in enumerate(decode_video(info, notes.append)):
        if number % every == 0:
            samples[number] = _made_small(frame)
        yield frame


def _as_arrays(chosen: list[Detection | None]) -> _Faces:
    """Put the detections into arrays, and empty the list meanwhile, so that they are not in memory twice."""
    count = sum(face is not None for face in chosen)
    faces = _Faces(*(np.empty((count, *shape), np.float32) for shape in ((478, 2), (len(EXPRESSIONS),), (4, 4))))
    row = 0
    for number, face in enumerate(chosen):
        if face is None:
            continue
        faces.landmarks478[row], faces.expression[row], faces.matrix[row] = (
            face.landmarks478, face.expression, face.matrix,
        )  # fmt: skip
        chosen[number] = None
        row += 1
    return faces


def _fit(info: VideoInfo, seen: _Seen, faces: _Faces, progress: bool) -> TrackFit:
    with _bar(progress, len(seen.frames), "head fit") as advance:
        return fit_track(
            faces.landmarks478,
            faces.expression,
            faces.matrix,
            seen.frames,
            picture_px=(info.width, info.height),
            fps=float(info.fps),
            advance=advance,
        )


def _track(info: VideoInfo, seen: _Seen, faces: _Faces, fit: TrackFit, crop: Crop, size_px: int) -> Track:
    """Return the track in the crop's coordinates, with an empty foreground."""
    found = np.zeros(seen.total, dtype=bool)
    found[seen.frames] = True
    landmarks = np.full((seen.total, 478, 2), np.nan, dtype=np.float32)
    for number, own in zip(seen.frames, faces.landmarks478, strict=True):
        landmarks[number] = crop.to_crop(own, size_px)
    center = crop.to_crop(np.array((info.width / 2, info.height / 2)), size_px)
    return Track(
        head=fit.head,
        expression=_spread(fit.heads.expression, seen),
        **_poses(fit, seen),
        torso_shift=np.zeros((seen.total, 3), dtype=np.float32),
        focal_px=fit.focal_px * size_px / crop.side,
        center_px=(float(center[0]), float(center[1])),
        size_px=size_px,
        landmarks478=landmarks,
        face_found=found,
        foreground_bits=np.zeros((seen.total, (FOREGROUND_PX**2 + 7) // 8), dtype=np.uint8),
        foreground_px=FOREGROUND_PX,
        foreground_shares=np.zeros((seen.total, FOREGROUND_PX**2 // 2), dtype=np.uint8),
    )


def _poses(fit: TrackFit, seen: _Seen) -> dict[str, Any]:
    return {name: _spread(getattr(fit.motion, name), seen) for name in POSES}


def _spread(values: np.ndarray, seen: _Seen) -> np.ndarray:
    """Return float32 values of all frames; those of frames without a face are NaN."""
    whole = np.full((seen.total, *values.shape[1:]), np.nan, dtype=np.float32)
    whole[seen.frames] = values
    return whole


def _store(
    info: VideoInfo,
    seen: _Seen,
    fit: TrackFit,
    track: Track,
    report: AddReport,
    cutter: PersonCutter,
    started: float,
    progress: bool,
) -> AddReport:
    """Write everything to a temporary folder next to the target and rename it."""
    with making(report.name, report.folder.parent) as temporary:
        track = _outlined(info, seen, fit, track, report, cutter)
        with _bar(progress, report.frames, "crop and store") as advance:
            beliefs = _write_frames(info, cutter, track, report, temporary / library.VIDEO_FILE, advance)
        with _bar(progress, len(seen.frames), "shoulders") as advance:
            shift = torso_motion(track, report.fps, beliefs.believed_shoulders(), advance)
        track = replace(track, torso_shift=shift)
        report = replace(report, notes=(*report.notes, *beliefs.notes()))
        track.save(temporary / library.TRACK_FILE)
        report = replace(report, tracking_fps=report.frames / max(time.monotonic() - started, 1e-9))
        write_info(info, cutter.sha256, report, temporary / library.INFO_FILE)
        put_in_place(temporary, report.folder)
    return report


def _made_small(frame_u8: np.ndarray) -> np.ndarray:
    from emo_bench.system import opencv as cv2

    share = min(OUTLINE_PX / max(frame_u8.shape[:2]), 1.0)
    return np.asarray(cv2.resize(frame_u8, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))


def _outlined(
    info: VideoInfo, seen: _Seen, fit: TrackFit, track: Track, report: AddReport, cutter: PersonCutter
) -> Track:
    """Return the track with hair and torso fitted to the person's outline in the sampled frames."""
    pictures = _sampled(info, seen, track, report.crop)
    places = {number: place_of(track, number) for number in pictures}
    cuts = {number: (places[number], cut) for number, cut in cutter.learn(pictures, places).items()}
    changed = with_outline(fit, fit_outline(fit, track, seen.frames, cuts), seen.frames, float(info.fps))
    return replace(track, head=changed.head, **_poses(changed, seen))


def _sampled(info: VideoInfo, seen: _Seen, track: Track, crop: Crop) -> dict[int, np.ndarray]:
    """Return sampled frames in which the person was found, cropped to ``[NETWORK_PX, NETWORK_PX, 3]``."""
    pictures = {}
    for number, whole in seen.samples.items():
        if track.face_found[number]:
            share = whole.shape[1] / info.width
            small = Crop(round(crop.left * share), round(crop.top * share), max(round(crop.side * share), 1))
            pictures[number] = resize_area(small.cut(whole), NETWORK_PX)
    if not pictures:
        raise UserError(f"{info.path.name}: other people are nearly always in view; give a video of one person")
    return pictures


def _write_frames(
    info: VideoInfo, cutter: PersonCutter, track: Track, report: AddReport, out: Path, advance: Callable[..., None]
) -> Beliefs:
    """Write the video, put the cut-outs into the track, and return in which frames they are believed."""
    beliefs = Beliefs.none(len(track), report.fps)
    shares = track.foreground_shares
    assert shares is not None

    def keep(number: int, cut: Cut) -> None:
        track.foreground_bits[number] = pack_foreground(cut.mask[None])[0]
        shares[number] = pack_shares(cut.shares[None])[0]
        beliefs.keep(number, cut)

    cuts = CarriedCuts(cutter)
    with one_thread(), VideoWriter(out, RECORDING, info.fps) as writer:
        for number, frame in enumerate(decode_video(info)):
            if number >= report.frames:
                break
            shown_u8 = report.crop.cut(frame)
            writer.write(resize_area(shown_u8, report.size_px))
            place = place_of(track, number) if track.face_found[number] else None
            for finished in cuts.add(number, resize_area(shown_u8, NETWORK_PX), place):
                keep(*finished)
            advance()
        for finished in cuts.finish():
            keep(*finished)
    return beliefs


def _bar(progress: bool, total: int, label: str) -> Any:
    from contextlib import nullcontext

    if progress:
        return track_progress(total, label)
    return nullcontext(lambda n=1, **numbers: None)
