"""Cut the person out of single pictures: a network for the whole person, colours for clothes that it does not see."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from emo_bench.actors.foreground import BELIEVED, Cut, Place, judged
from emo_bench.actors.torso_colours import TorsoColours
from emo_bench.tracking.person_network import PersonNetwork

# The network sees head and shoulders at this size. It was trained with 320 px; 224 take half the time.
NETWORK_PX = 224


class PersonCutter:
    """Cuts the person out of single pictures of one video, and says how far it believes the result.

    The network looks for what is striking. Pale clothes before a pale wall are not: where it sees no shoulders, the
    colours of the clothes decide below the chin, once :meth:`learn` has seen some frames.
    """

    def __init__(self) -> None:
        self._network = PersonNetwork(NETWORK_PX)
        self._colours: TorsoColours | None = None
        self.sha256 = self._network.sha256

    def learn(self, pictures_u8: Mapping[int, np.ndarray], places: Mapping[int, Place]) -> dict[int, Cut]:
        """Learn the colours of clothes and background from frames that are spread over the video, and cut them out.

        Args:
            pictures_u8: ``[H, H, 3]`` uint8 RGB, by frame number.
            places: the heads in them.
        """
        by_network = {n: self._seen(picture, places[n]) for n, picture in pictures_u8.items()}
        self._colours = TorsoColours([(pictures_u8[n], shares, places[n]) for n, shares in by_network.items()])
        return {n: judged(self._with_torso(pictures_u8[n], by_network[n], place), place) for n, place in places.items()}

    def cut(self, picture_u8: np.ndarray, place: Place) -> Cut:
        """Cut the person out of ``[H, H, 3]`` uint8 RGB; the result has the size S of ``place``."""
        return judged(self.found(picture_u8, place), place)

    def found(self, picture_u8: np.ndarray, place: Place) -> np.ndarray:
        """Return the shares of ``[H, H, 3]`` uint8 RGB before the head corrects them: ``[S, S]`` float32 in [0, 1]."""
        return self._with_torso(picture_u8, self._seen(picture_u8, place), place)

    def _seen(self, picture_u8: np.ndarray, place: Place) -> np.ndarray:
        from emo_bench.system import opencv as cv2

        shares, side = self._network.shares(picture_u8), len(place.surface)
        return (
            shares
            if len(shares) == side
            else np.asarray(cv2.resize(shares, (side, side), interpolation=cv2.INTER_AREA))
        )

    def _with_torso(self, picture_u8: np.ndarray, shares: np.ndarray, place: Place) -> np.ndarray:
        if self._colours is None or judged(shares, place).shoulders >= BELIEVED:
            return shares
        return self._colours.with_torso(picture_u8, shares, place)
