"""What a tracker's own reader finds of a run, as JSON: {"loss": [[step, loss], ...], "parameters": {...}, "pictures": [...]}.

Usage: read_back.py TRACKER PLACE [RUN]"""

import glob
import json
import os
import sys


def tensorboard(place, _):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(place).Reload()
    args = events.Tensors("args/text_summary")[0].tensor_proto.string_val[0]
    return {
        "loss": [[e.step, e.value] for e in events.Scalars("train/loss")],
        "tags": events.Tags()["scalars"],
        "parameters": json.loads(args),
        "pictures": events.Tags()["images"],
    }


def wandb(place, _):
    # wandb's own reader is a program that uploads; SwanLab's converter reads the same files
    from swanlab.converter.wb.wbdatastore import WBDataStoreReader
    from wandb.proto import wandb_internal_pb2 as pb

    losses, pictures, parameters = [], [], {}
    for file in sorted(glob.glob(os.path.join(place, "wandb", "*run-*", "*.wandb"))):
        store = WBDataStoreReader()
        store.open(file)
        while (data := store.scan()) is not None:
            record = pb.Record()
            record.ParseFromString(data)
            items = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
            if "train/loss" in items:
                losses.append([items["train/global_step"], items["train/loss"]])
            pictures += ["/".join(name.split("/")[:2]) for name in items if name.startswith("figures/")]
            for update in record.run.config.update:
                parameters[update.key] = json.loads(update.value_json)
    return {"loss": losses, "parameters": parameters, "pictures": pictures}


def mlflow(place, run):
    import mlflow

    client = mlflow.MlflowClient(place)
    found = client.get_run(run)
    return {
        "loss": [[m.step, m.value] for m in client.get_metric_history(run, "loss")],
        "parameters": found.data.params,
        "pictures": [file.path for file in client.list_artifacts(run) if file.path.endswith(".png")],
        "status": found.info.status,
    }


def swanlab(place, _):
    losses, pictures = [], []
    for folder in sorted(glob.glob(os.path.join(place, "run-*"))):
        for file in glob.glob(os.path.join(folder, "logs", "*", "*.log")):
            with open(file) as lines:
                found = [json.loads(line) for line in lines]
            points = [[point["index"], point["data"]] for point in found]
            if points and all(isinstance(value, float) and 0.5 < value for _, value in points) and len(points) > 1:
                losses.append(points)
        pictures += glob.glob(os.path.join(folder, "media", "image", "*.png"))
    return {"curves": losses, "parameters": {}, "pictures": pictures}


def trackio(place, run):
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs(place, run)
    return {
        "loss": [[row["train/global_step"], row["train/loss"]] for row in rows if "train/loss" in row],
        "parameters": SQLiteStorage.get_run_config(place, run),
        "pictures": [name for row in rows for name in row if name.startswith("figures/")],
    }


reader = {"tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow, "swanlab": swanlab, "trackio": trackio}
arguments = [*sys.argv[2:], None]
sys.stdout.write("\n" + json.dumps(reader[sys.argv[1]](arguments[0], arguments[1])) + "\n")
