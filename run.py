"""The same as `blobstore serve`, and the workers start anew when a source file changes. For development."""

from blobstore.embedded import EmbeddedError
from blobstore.environment import load
from blobstore.serve import ServeError, serve
from blobstore.settings import SettingsError

if __name__ == "__main__":
    try:
        serve(load(), reload=True)
    except (SettingsError, ServeError, EmbeddedError) as error:
        raise SystemExit(str(error)) from None
