#!/bin/sh -e
# The service of `npm start`: what a client would write to build an overlay.
apt-get update
apt-get install -y --no-install-recommends apache2
cat > /var/www/html/index.html <<'PAGE'
<!doctype html>
<title>XenoServer</title>
<h1>Published once, deployed everywhere</h1>
PAGE
apt-get clean
rm -rf /var/lib/apt/lists/*
