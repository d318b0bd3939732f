// Model hubs, Hugging Face and ModelScope: names become folders of their Python clients' caches.
export { type DatasetFetcher, type DatasetSource, datasetFetcher } from "./datasets.js";
export type { DownloadEvent, HubEvent, HubMessage } from "./events.js";
export { fetchAdapter, fetchModel, type ModelOptions } from "./models.js";
export { isRepositoryId, meansRepository } from "./names.js";
export { chosenHub, type HubKeys, type HubName, type HubSettings, hubSettings } from "./settings.js";
