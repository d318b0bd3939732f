// The local files of a dataset: one file, or a folder of files of one type. It opens none of them.

import { existsSync, opendirSync, statSync } from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.js";
import { fileEndings, fileType } from "../readers/rows.js";
import { isMarkdown } from "../readers/whole-files.js";

/**
 * The files behind `file_name`, in reading order.
 *
 * @param dir the folder that holds dataset_info.json
 * @param where the entry, for messages
 * @throws UserError where there is nothing, or something that is not of one readable type
 */
export function localFiles(dir: string, where: string, fileName: string): string[] {
  const target = path.isAbsolute(fileName) ? fileName : path.join(dir, fileName);
  if (!existsSync(target)) {
    throw new UserError(
      `${where}: file ${target} does not exist; correct file_name (it is relative to ${dir}), or put the file there`,
    );
  }
  if (!statSync(target).isDirectory()) return checkedFiles(where, [target]);
  const files = listed(target);
  if (files.length === 0) {
    throw new UserError(
      `${where}: folder ${target} is empty; put files into it, of one of: ${fileEndings()}`,
    );
  }
  return checkedFiles(where, files);
}

/**
 * A folder's entries as the file system gives them: LLaMA-Factory reads a folder by Python's os.listdir, which does not
 * sort either, and the order of files decides the order of documents.
 */
function listed(folder: string): string[] {
  const files: string[] = [];
  const dir = opendirSync(folder);
  try {
    for (let entry = dir.readSync(); entry !== null; entry = dir.readSync())
      files.push(path.join(folder, entry.name));
  } finally {
    dir.closeSync();
  }
  return files;
}

/**
 * The same files, once each is known to be readable and all are of one type.
 *
 * @throws UserError naming the first that does not fit
 */
export function checkedFiles(where: string, files: readonly string[]): string[] {
  for (const file of files) {
    if (fileType(file) === undefined || !statSync(file).isFile()) {
      throw new UserError(`${where}: ${file} is not of a supported type: ${fileEndings()}; ${remedy(file)}`);
    }
  }
  const other = files.find((file) => fileType(file) !== fileType(files[0]!));
  if (other !== undefined) {
    throw new UserError(
      `${where}: ${files[0]} and ${other} are of two types; keep files of one type in a folder`,
    );
  }
  return [...files];
}

function remedy(file: string): string {
  if (isMarkdown(file)) return 'set "whole_file": true, which makes each file one document';
  if (path.extname(file) === ".tsv") return "save it with commas, as .csv";
  if (statSync(file).isDirectory()) return "name a folder that holds nothing but data files";
  return 'convert it to rows such as {"text": "..."}';
}
