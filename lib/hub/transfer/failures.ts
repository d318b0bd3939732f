// What went wrong with a hub, in one line with the remedy. No line holds a token, nor a signed address.
import { UserError } from "../../errors.js";
import type { Repository } from "../names.js";
import type { HubSettings } from "../settings.js";
import { HttpFailure } from "./http.js";

/** What was being asked for. */
export interface Wanted {
  readonly repository: Repository;
  readonly revision: string;
  readonly file?: string;
}

const TOKEN = { huggingface: "HF_TOKEN", modelscope: "MODELSCOPE_API_TOKEN" };
const TOKEN_KEY = { huggingface: "hf_hub_token", modelscope: "ms_hub_token" };

/** The page of a repository for a browser. */
export function pageOf(settings: HubSettings, { kind, id }: Repository): string {
  const folder = kind === "dataset" ? "datasets/" : settings.hub === "modelscope" ? "models/" : "";
  return `${settings.endpoint}/${folder}${id}`;
}

/** The error to show for a failure; anything that is none of a hub's passes through. */
export function hubError(error: unknown, settings: HubSettings, wanted: Wanted): unknown {
  if (!(error instanceof HttpFailure)) return error;
  const { repository, file } = wanted;
  const name = file === undefined ? repository.id : `${repository.id}: ${file}`;
  const text =
    error.status === undefined ? unanswered(error, settings) : refused(error, error.status, settings, wanted);
  return new UserError(`${name}: ${text}`);
}

function unanswered(error: HttpFailure, settings: HubSettings): string {
  const { endpoint } = settings;
  const code = error.code;
  const proxied = settings.proxies.https || settings.proxies.http;
  if (error.byProxy !== undefined) {
    return `the proxy refuses to connect to ${endpoint} (${error.byProxy}); check HTTPS_PROXY and its user and password, or list the host in NO_PROXY`;
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code)) {
    return `${endpoint}: its certificate is not trusted (${code}); where a company's proxy signs it, name the company's certificate in NODE_EXTRA_CA_CERTS`;
  }
  if (code === "NO_JSON") {
    return `${endpoint} answers with something that is no hub's answer; correct ${endpointVariable(settings)}, or sign in to the network that this machine is in`;
  }
  if (code === "REDIRECTS" || code.startsWith("UND_ERR_INVALID_ARG")) {
    return `${endpoint} redirects without end or to nowhere; correct ${endpointVariable(settings)}`;
  }
  if (code === "ENDLESS") {
    return `${endpoint} answers without end; correct ${endpointVariable(settings)}, or ${elsewhere(settings)}`;
  }
  if (/TIMEOUT/.test(code)) {
    return `${endpoint} fell silent for ${silence(code, settings)}; try again, which goes on where it stopped, or ${elsewhere(settings)}`;
  }
  if (/^(?:UND_ERR_SOCKET|ECONNRESET|EPIPE|ENDED_EARLY|TOO_LONG|HPE_\w+|UND_ERR_RES_\w+)$/.test(code)) {
    return `the connection to ${endpoint} breaks off again and again (${code}); try again, which goes on where it stopped, or ${elsewhere(settings)}`;
  }
  const through = proxied ? ", through the proxy of HTTPS_PROXY" : "";
  return `${endpoint} cannot be reached (${code}${through}); check the network or HTTPS_PROXY, or ${elsewhere(settings)}`;
}

function silence(code: string, settings: HubSettings): string {
  return code === "UND_ERR_BODY_TIMEOUT"
    ? `${settings.downloadTimeout} s (HF_HUB_DOWNLOAD_TIMEOUT)`
    : `${settings.answerTimeout} s (HF_HUB_ETAG_TIMEOUT)`;
}

function endpointVariable({ hub }: HubSettings): string {
  return hub === "modelscope" ? "MODELSCOPE_ENDPOINT" : "HF_ENDPOINT";
}

function elsewhere({ hub }: HubSettings): string {
  return hub === "modelscope"
    ? "name a local folder"
    : "use a mirror (HF_ENDPOINT=https://hf-mirror.com), ModelScope (USE_MODELSCOPE_HUB=1) or a local folder";
}

function refused(error: HttpFailure, status: number, settings: HubSettings, wanted: Wanted): string {
  const { hub, endpoint, token } = settings;
  const { repository, revision, file } = wanted;
  const page = pageOf(settings, repository);
  const setToken = `set ${TOKEN[hub]} (or ${TOKEN_KEY[hub]} in the recipe)`;
  const gated = error.hubCode === "GatedRepo" || (status === 403 && /gated|licen[cs]e/i.test(error.message));
  if (gated) {
    return token === undefined
      ? `gated (${status}): accept its licence at ${page} and ${setToken} to a token of that account`
      : `gated (${status}), and the account of the token has no access yet: accept its licence at ${page}, then try again`;
  }
  if (status === 401 && token !== undefined && /credentials|token/i.test(error.message)) {
    return `${endpoint} does not accept the token (401); correct ${TOKEN[hub]} or ${TOKEN_KEY[hub]}, or unset it for a public repository`;
  }
  if (error.hubCode === "RevisionNotFound" || (status === 404 && isRevision(error))) {
    return `there is no revision ${revision} at ${page}; correct model_revision (main is the usual one)`;
  }
  if (error.hubCode === "EntryNotFound" || (status === 404 && file !== undefined)) {
    return `the file is not in revision ${revision} of ${page}`;
  }
  if (status === 401 || status === 403 || status === 404) {
    const what = repository.kind === "model" ? "there is no such folder here and" : "there is";
    return `${what} no ${repository.kind} of that name that may be read at ${endpoint} (${status}); correct the name, or for a private one ${setToken}`;
  }
  if (status === 429) {
    return `${endpoint} says that there were too many requests (429); wait some minutes and try again${token === undefined ? `, or ${setToken}, which raises the limit` : ""}`;
  }
  if (status >= 500) {
    return `${endpoint} is out of order (${status}); try again later, or ${elsewhere(settings)}`;
  }
  const said = error.message.replace(/\s+/g, " ").slice(0, 120);
  return `${endpoint} answers ${status}${said === "" ? "" : ` (${said})`}; see ${page}`;
}

function isRevision(error: HttpFailure): boolean {
  return /revision/i.test(error.message);
}
