"""Between a training run and a tracker's own Python client: commands as JSON lines on stdin, answers as JSON lines on
the file descriptor that the first argument names. What it knows of a client is one class; the run knows none of it.

  {"begin": {...}}   {"log": {"figures", "points", "whole", "step"}}   {"artifact": {"path", "what", "step"}}
  {"finish": "finished"}
  answers: {"ready": {"remember": {...}, "place": "..."}}, {"error": "..."}, {"finished": true}

figures are by transformers' names; points and whole are the same, by tag and apart (lib/trackers/tracker.ts).
The end of stdin without "finish" is a run that died: the tracker's run is closed as failed.
"""

import importlib.util
import json
import os
import re
import signal
import sys

class Wandb:
    def begin(self, run):
        import wandb

        self.wandb = wandb
        id = (run["remembered"] or {}).get("id") or os.environ.get("WANDB_RUN_ID") or run["fresh_id"][:8]
        self.run = wandb.init(
            project=os.getenv("WANDB_PROJECT", run["project"]),
            name=run["name"],
            id=id,
            resume="allow",
            dir=os.getenv("WANDB_DIR", run["dir"]),
            config=run["parameters"],
        )
        self.run.define_metric("train/global_step")
        self.run.define_metric("*", step_metric="train/global_step", step_sync=True)
        return {"id": id}, self.run.url or os.path.dirname(self.run.dir)

    def log(self, figures, points, whole, step):
        for name, value in whole.items():
            self.run.summary[name] = value
        if points:
            self.run.log({**points, "train/global_step": step})

    def artifact(self, path, what, step):
        name = os.path.basename(path)
        if path.endswith(".png"):
            self.run.log({"figures/" + name[:-4]: self.wandb.Image(path), "train/global_step": step})
        else:
            kept = self.wandb.Artifact(re.sub(r"[^\w.-]", "-", name) + "-" + self.run.id, type=what.replace(" ", "-"))
            kept.add_file(path)
            self.run.log_artifact(kept)

    def finish(self, ending):
        self.run.finish(exit_code=0 if ending == "finished" else 1)


class MLflow:
    MOST_AT_ONCE = 100

    def begin(self, run):
        import mlflow

        self.mlflow = mlflow
        if os.getenv("MLFLOW_EXPERIMENT_NAME"):
            mlflow.set_experiment(os.environ["MLFLOW_EXPERIMENT_NAME"])
        id = (run["remembered"] or {}).get("id") or os.environ.get("MLFLOW_RUN_ID")
        self.run = mlflow.start_run(run_id=id, run_name=run["name"])
        id = self.run.info.run_id
        # a parameter cannot change in MLflow: those of a resumed run that did are kept as tags
        client = mlflow.tracking.MlflowClient()
        known = client.get_run(id).data.params
        items = {key: str(value) for key, value in run["parameters"].items()}
        new = [(key, value[:6000]) for key, value in items.items() if key not in known]
        for at in range(0, len(new), self.MOST_AT_ONCE):
            mlflow.log_params(dict(new[at : at + self.MOST_AT_ONCE]))
        changed = {"resumed." + k: v[:5000] for k, v in items.items() if k in known and known[k] != v[:6000]}
        if changed:
            mlflow.set_tags(changed)
        if os.getenv("MLFLOW_TAGS"):
            mlflow.set_tags(json.loads(os.environ["MLFLOW_TAGS"]))
        return {"id": id}, mlflow.get_tracking_uri()

    def log(self, figures, points, whole, step):
        clean = {re.sub(r"[^0-9A-Za-z_\-\.\ :/]", "_", name): value for name, value in figures.items()}
        self.mlflow.log_metrics(clean, step=step)

    def artifact(self, path, what, step):
        self.mlflow.log_artifact(path)

    def finish(self, ending):
        self.mlflow.end_run({"finished": "FINISHED", "interrupted": "KILLED"}.get(ending, "FAILED"))


class SwanLab:
    def begin(self, run):
        import swanlab

        self.swanlab = swanlab
        extra = {k: v for k, v in run["swanlab"].items() if v is not None}
        key = extra.pop("api_key", None)
        mode = extra.get("mode") or os.getenv("SWANLAB_MODE") or "cloud"
        if key and mode == "cloud":
            swanlab.login(api_key=key)
        id = (run["remembered"] or {}).get("id") or os.environ.get("SWANLAB_RUN_ID") or run["fresh_id"]
        webhook, secret = extra.pop("lark_webhook_url", None), extra.pop("lark_secret", None)
        if webhook:
            from swanlab.plugin.notification import LarkCallback

            swanlab.register_callbacks([LarkCallback(webhook_url=webhook, secret=secret)])
        names = {"project": "project", "workspace": "workspace", "run_name": "experiment_name", "mode": "mode"}
        settings = {names[k]: v for k, v in extra.items() if k in names}
        settings.setdefault("project", os.getenv("SWANLAB_PROJECT"))
        settings.setdefault("experiment_name", run["name"])
        settings["id"] = id
        if mode != "local":  # a local run has no server that would know an earlier one
            settings["resume"] = "allow"
        logdir = extra.get("logdir") or os.getenv("SWANLAB_LOG_DIR") or os.path.join(run["dir"], "swanlog")
        self.run = swanlab.init(config=run["parameters"], logdir=logdir, **settings)
        return {"id": id, "dir": logdir}, logdir if mode == "local" else None

    def log(self, figures, points, whole, step):
        values = {"single_value/" + name: value for name, value in whole.items()}
        self.swanlab.log({**values, **points, "train/global_step": step}, step=step)

    def artifact(self, path, what, step):
        name = os.path.basename(path)
        if path.endswith(".png"):
            self.swanlab.log({"figures/" + name[:-4]: self.swanlab.Image(path)}, step=step)
        elif path.endswith(".md"):
            with open(path, encoding="utf-8") as file:
                self.swanlab.log({name[:-3]: self.swanlab.Text(file.read())}, step=step)

    def finish(self, ending):
        state = {"finished": "success", "interrupted": "aborted"}.get(ending, "crashed")
        why = None if ending == "finished" else "the run was " + ending
        try:
            self.swanlab.finish(state=state, error=why)
        except TypeError:  # before 0.10 a state was an enumeration
            states = self.swanlab.SwanLabRunState
            self.swanlab.finish(states.SUCCESS if why is None else states.CRASHED, error=why)


class Trackio:
    def begin(self, run):
        import trackio

        self.trackio = trackio
        kept = (run["remembered"] or {}).get("name")
        settings = {k: v for k, v in run["trackio"].items() if v is not None}
        self.run = trackio.init(
            project=run["project"], name=kept or run["name"], resume="allow", config=run["parameters"], **settings
        )
        return {"name": self.run.name}, run["project"]

    def log(self, figures, points, whole, step):
        if points:
            self.trackio.log({**points, "train/global_step": step})

    def artifact(self, path, what, step):
        name = os.path.basename(path)
        if path.endswith(".png"):
            self.trackio.log({"figures/" + name[:-4]: self.trackio.Image(path), "train/global_step": step})
        elif path.endswith(".md"):
            with open(path, encoding="utf-8") as file:
                self.trackio.log({name[:-3]: self.trackio.Markdown(file.read()), "train/global_step": step})

    def finish(self, ending):
        self.trackio.finish()


CLIENTS = {"wandb": Wandb, "mlflow": MLflow, "swanlab": SwanLab, "trackio": Trackio}


def numbers(figures):
    """NaN and infinities come as text."""
    return {name: float(figure) for name, figure in figures.items()}


def said(error):
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:600] if text else type(error).__name__


def main():
    if sys.argv[1] == "--installed":
        print(json.dumps([name for name in sys.argv[2:] if importlib.util.find_spec(name) is not None]))
        return
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")

    def answer(message):
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    # Ctrl-C is the run's: it says how it ended, and then the client still has to send what it holds
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    client = CLIENTS[sys.argv[2]]()
    begun = False
    ending = "failed"
    try:
        for line in sys.stdin:
            command, value = next(iter(json.loads(line).items()))
            if command == "begin":
                remember, place = client.begin(value)
                begun = True
                answer({"ready": {"remember": remember, "place": place}})
            elif command == "log":
                client.log(*(numbers(value[part]) for part in ("figures", "points", "whole")), value["step"])
            elif command == "artifact":
                client.artifact(value["path"], value["what"], value["step"])
            elif command == "finish":
                ending = value
                break
        if begun:
            client.finish(ending)
        answer({"finished": True})
    except BaseException as error:  # a client may raise SystemExit, or anything else
        answer({"error": said(error)})
    sys.stdout.flush()
    os._exit(0)  # threads of a client that still wait for a server do not hold this process


if __name__ == "__main__":
    main()
