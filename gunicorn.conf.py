"""How gunicorn runs blobstore: `gunicorn -c gunicorn.conf.py wsgi:app`. Everything comes from the settings."""

from blobstore.hooks import gunicorn_settings

globals().update(gunicorn_settings())
