"""gunicorn's configuration as a module, `gunicorn -c python:blobstore.gunicorn_conf`, for an installed blobstore.

Only gunicorn imports it: the settings are read here and now.
"""

from blobstore.hooks import gunicorn_settings

globals().update(gunicorn_settings())
