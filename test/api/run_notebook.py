"""Runs notebooks as Jupyter does. `run_notebook.py BOOK FOLDER` prints every code cell's outputs as JSON: streams,
errors, and displays by their kind. `run_notebook.py --interrupt CODE FOLDER` runs a cell, interrupts the kernel once the display
shows that it trains, waits until it says that the run has saved, does the same again, and prints both last displays."""

import json
import sys
import time

import nbformat
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient


def outputs(cell):
    for out in cell.outputs:
        if out.output_type == "stream":
            yield {"text": out.text}
        elif out.output_type == "error":
            yield {"error": out.evalue}
        else:
            yield {kind: "".join(data) for kind, data in out.data.items()}


def whole(book, folder):
    read = nbformat.read(book, as_version=4)
    NotebookClient(read, kernel_name="tslab", timeout=200, resources={"metadata": {"path": folder}}).execute()
    return [list(outputs(cell)) for cell in read.cells if cell.cell_type == "code"]


def interrupted(code, folder):
    manager, client = start_new_kernel(kernel_name="tslab", cwd=folder)
    shown = {"html": ""}

    def listen(until):
        end = time.time() + 120
        while not until():
            if time.time() > end:
                raise TimeoutError(f"never shown: {shown}")
            try:
                message = client.get_iopub_msg(timeout=1)
            except Exception:
                continue
            content = message["content"]
            if message["msg_type"] in ("display_data", "update_display_data"):
                shown["html"] = "".join(content["data"].get("text/html", ""))

    try:
        ends = []
        for _ in range(2):
            shown.update(html="")
            client.execute(code)
            listen(lambda: "<table>" in shown["html"])
            manager.interrupt_kernel()
            listen(lambda: "run this cell again" in shown["html"])
            ends.append(shown["html"])
            time.sleep(1)  # the kernel drops what is asked of it within 0.2 s after an interrupt
        return ends
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


if sys.argv[1] == "--interrupt":
    print(json.dumps(interrupted(open(sys.argv[2]).read(), sys.argv[3])))
else:
    print(json.dumps(whole(sys.argv[1], sys.argv[2])))
