"""The auth server: the only one that sees passwords. It signs in, and publishes its keys.

Browsers reach it through the gateway, which is why it takes and gives cookies alone. Services
reach it directly, for the keys at `jwks_path`, and only now and then.
"""

from flask import Flask, redirect, render_template_string, request

from examples.gateway import users
from jwt_middleware import CrossSiteRequest, Settings, get_auth
from jwt_middleware.wsgi import JWTMiddleware

PAGE = """\
<!doctype html>
<title>Gateway</title>
{% if auth.is_authenticated %}
  <p>You are {{ auth.subject }}. See your <a href="/orders">orders</a> and the company's
  <a href="/invoices">invoices</a>.</p>
  <button onclick="fetch('/logout', {method: 'POST'}).then(() => location = '/')">Sign out</button>
{% else %}
  <form method="post" action="/login">
    <input name="name"> <input name="password" type="password"> <button>Sign in</button>
  </form>
{% endif %}
"""

app = Flask(__name__)
app.wsgi_app = JWTMiddleware(
    app.wsgi_app,
    Settings.from_env(token_location=("cookies",), jwks_path="/.well-known/jwks.json"),
)


@app.get("/")
def index():
    return render_template_string(PAGE, auth=get_auth())


@app.post("/login")
def login():
    user = users.find(request.form["name"], request.form["password"])
    if user is None:
        return "Name and password do not match.", 401
    get_auth().login(user.name, {"roles": user.roles})  # the redirect carries the cookies
    return redirect("/", 303)


# Another site's page has sent somebody's browser to /login.
@app.errorhandler(CrossSiteRequest)
def refuse_cross_site(error: CrossSiteRequest):
    return "This request came from another site.", error.status
