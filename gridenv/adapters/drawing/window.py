"""Pictures in a window, for `render_mode="human"`."""

import time
from typing import Any

import numpy as np

from gridenv.adapters.drawing.frame import Picture
from gridenv.core.errors import ConfigError, MissingExtraError
from gridenv.network.spec import Number


class HumanWindow:
    """A window that shows one picture after the other, in real time; nothing happens once its user has closed it."""

    def __init__(self, title: str = "gridenv", fps: Number = 10.0) -> None:
        """Open the window.

        Args:
            title: of the window.
            fps: pictures a second at most; `show` waits so long.

        Raises:
            MissingExtraError: if Python comes without tkinter.
            ConfigError: if there is no screen.
        """
        try:
            import tkinter
        except ImportError as error:
            raise MissingExtraError(
                "render_mode 'human': Python comes without tkinter; needed to open a window; install it "
                "(such as `apt install python3-tk`), or use render_mode='rgb_array'"
            ) from error
        self._tkinter = tkinter
        try:
            self._root: Any = tkinter.Tk()
        except tkinter.TclError as error:
            raise ConfigError(
                f"render_mode 'human': no window can be opened ({error}); needed: a screen; "
                "use render_mode='rgb_array' and save the pictures with save_movie"
            ) from error
        self._root.title(title)
        self._root.resizable(False, False)
        self._root.protocol("WM_DELETE_WINDOW", self.close)
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self._period_s = 1.0 / float(fps)
        self._due_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the window is still there."""
        return self._root is not None

    def show(self, picture: Picture) -> None:
        """Show a picture [height, width, 3], as soon as the last one was shown long enough."""
        while self.is_open and time.monotonic() < self._due_s:
            self._root.update()
            time.sleep(min(0.01, self._period_s))
        if not self.is_open:
            return
        height, width, _ = picture.shape
        ppm = b"P6 %d %d 255 " % (width, height) + np.ascontiguousarray(picture).tobytes()
        image = self._tkinter.PhotoImage(master=self._root, data=ppm, format="ppm")
        self._label.configure(image=image)
        self._image = image  # Tk shows nothing once Python has let go of it
        self._due_s = time.monotonic() + self._period_s
        self._root.update()

    def close(self) -> None:
        """Close the window; again does nothing."""
        if self._root is not None:
            self._root.destroy()
            self._root = None
