"""A web application with one view that keeps something of each request. Ends when its input does."""

import logging
import os
import signal
import sys
import threading

from flask import Flask, jsonify, render_template_string
from waitress import create_server

signal.alarm(120)
logging.getLogger("waitress.queue").setLevel(logging.ERROR)
app = Flask(__name__)
seen = []


@app.route("/add/<int:number>")
def add(number):
    return f"{number} and 1 are {number + 1}\n"


@app.route("/page/<text>")
def page(text):
    return render_template_string("<p>{{ text }} & {% for n in range(9) %}{{ n }}{% endfor %}</p>", text=text)


@app.route("/order/<int:number>")
def order(number):
    receipt = bytes(2000)  # the leak
    seen.append(receipt)
    return jsonify(number=number, bytes=len(receipt))


def main():
    server = create_server(app, host="127.0.0.1", port=0, threads=2)

    def wait_for_end():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=wait_for_end, daemon=True).start()
    print("listens at", server.effective_port, flush=True)
    server.run()


if __name__ == "__main__":
    main()
