export type { DownloadEvent, HubEvent, HubMessage } from "./events.js";
export { fetchAdapter, fetchModel } from "./models.js";
export { isRepositoryId, meansRepository } from "./names.js";
export { chosenHub, type HubKeys, type HubName, type HubSettings, hubSettings } from "./settings.js";
