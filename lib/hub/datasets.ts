// Datasets by the name of their repository: their data files on the disk, fetched where they are not there yet. What is
// in them: see lib/data.
import path from "node:path";
import { UserError } from "../errors.js";
import { insideFolder } from "../files/outside-path.js";
import type { DataWanted } from "./data-files.js";
import type { HubEvent } from "./events.js";
import type { FetchOptions } from "./fetch.js";
import { isRepositoryId } from "./names.js";
import type { Selection } from "./select.js";
import { chosenHub, type HubKeys, type HubName, hubSettings } from "./settings.js";

/** A dataset's repository, and which of its files are meant: LLaMA-Factory's attributes of those names. */
export interface DatasetSource extends Omit<DataWanted, "repo"> {
  readonly hub: HubName;
  readonly repo: string;
}

export interface DatasetOptions extends Pick<FetchOptions, "backoff" | "attempts"> {
  /** Keys of a recipe: tokens and cache_dir. Its model_revision is the model's alone. */
  readonly keys?: HubKeys;
  /** Default: the process's environment. */
  readonly env?: NodeJS.ProcessEnv;
  readonly onEvent?: (event: HubEvent) => void;
}

/** What fetches datasets for lib/data. */
export interface DatasetFetcher {
  /** ModelScope goes first where a dataset is on both hubs. */
  readonly modelScope: boolean;
  /**
   * The paths of the data files, in reading order.
   * @throws UserError one line with the repository, the hub's address and the remedy
   */
  files(source: DatasetSource, dataset: string, signal?: AbortSignal): Promise<string[]>;
}

/** Where datasets come from for one recipe. */
export function datasetFetcher(options: DatasetOptions = {}): DatasetFetcher {
  const { keys = {}, env = process.env, ...rest } = options;
  return {
    modelScope: chosenHub(env) === "modelscope",
    async files(source, dataset, signal) {
      if (!isRepositoryId(source.repo) && !/^[\w.-]+$/.test(source.repo)) {
        throw new UserError(
          `dataset: ${dataset}: ${source.repo} is no repository's name; write it such as owner/name`,
        );
      }
      const settings = hubSettings(source.hub, keys, env);
      const { fetchRepository } = await import("./fetch.js");
      const { folder, files } = await fetchRepository(
        { kind: "dataset", id: source.repo },
        { ...rest, signal, settings, selection: selectionOf(source) },
      );
      const data = files.filter((file) => file !== README);
      // a snapshot's files are links into the blobs beside it: fetchRepository has looked where they lead
      return data.map((file) => insideFolder(folder, file, source.repo, path.dirname(path.dirname(folder))));
    },
  };
}

const README = "README.md";

/** README.md, which says what the files are, and the files. */
function selectionOf(source: DatasetSource): Selection {
  return {
    async choose(files, read) {
      const paths = files.map((file) => file.path);
      const hasReadme = paths.includes(README);
      const readme = hasReadme ? await read(README) : "";
      const { dataFiles } = await import("./data-files.js");
      const chosen = dataFiles(paths, readme, source);
      return hasReadme ? [README, ...chosen] : chosen;
    },
  };
}
