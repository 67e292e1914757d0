"""NumPy archives as files."""

import zipfile
import zlib

DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading an archive that is missing, cut off, changed or of another content raises."""
