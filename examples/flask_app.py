"""Sign in, see who you are, leave a note, sign out: a Flask app.

    export JWT_SECRET_KEY=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')
    export JWT_COOKIE_SECURE=false  # plain http, for development; leave it out behind https
    python examples/flask_app.py

Then open http://127.0.0.1:8000 and sign in as alice, password "wonderland".
"""

import os
from collections import defaultdict

from flask import Flask, redirect, render_template_string, request
from werkzeug.security import check_password_hash, generate_password_hash

from jwt_middleware import CrossSiteRequest, Settings, get_auth
from jwt_middleware.wsgi import JWTMiddleware

USERS = {"alice": generate_password_hash("wonderland")}
NOBODY = generate_password_hash("")  # so that an unknown name takes as long as a wrong password
NOTES: defaultdict[str | None, list[str]] = defaultdict(list)

PAGE = """\
<!doctype html>
<title>Notes</title>
{% if auth.is_authenticated %}
  <p>You are {{ auth.subject }}.</p>
  <ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
  <form method="post" action="/notes"><input name="text"><button>Leave a note</button></form>
  <form method="post" action="/logout"><button>Sign out</button></form>
{% else %}
  <p>You are nobody.</p>
  <form method="post" action="/login">
    <input name="name"> <input name="password" type="password"> <button>Sign in</button>
  </form>
{% endif %}
"""

app = Flask(__name__)

# Around the whole app, so that redirects and error pages carry new tokens, too.
app.wsgi_app = JWTMiddleware(app.wsgi_app, Settings.from_env())


@app.get("/")
def index():
    auth = get_auth()
    return render_template_string(PAGE, auth=auth, notes=NOTES[auth.subject])


@app.post("/login")
def login():
    name, password = request.form["name"], request.form["password"]
    if not check_password_hash(USERS.get(name, NOBODY), password):
        return "Name and password do not match.", 401
    # From here on the request is alice's. Her cookies go out with the redirect.
    get_auth().login(name)
    return redirect("/", 303)


# An expired access token does not cost anybody what they wrote: the refresh token signs
# this very request in, and the answer carries new ones.
@app.post("/notes")
def add_note():
    auth = get_auth()
    if not auth.is_authenticated:
        return f"Sign in first ({auth.reason}).", 401
    NOTES[auth.subject].append(request.form["text"])
    return redirect("/", 303)


# A POST, so that no link or image can sign anybody out.
@app.post("/logout")
def logout():
    get_auth().logout()
    return redirect("/", 303)


# Another site's page has sent somebody's browser to /login or /logout.
@app.errorhandler(CrossSiteRequest)
def refuse_cross_site(error: CrossSiteRequest):
    return "This request came from another site.", error.status


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8000")))
