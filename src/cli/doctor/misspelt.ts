import { processEnvironment, runtimeVarTable } from '../../runtime-vars.ts';

const KNOWN = Object.keys(runtimeVarTable);
const MOST_EDITS = 2;
/** A short name is near too many others. */
const SHORTEST = 8;

/** Names in the environment that are nearly those of runtime variables, and which. */
export function misspeltVars(): { readonly name: string; readonly meant: string }[] {
  return Object.keys(processEnvironment).flatMap((name) => {
    if (name in runtimeVarTable || name.length < SHORTEST) return [];
    const [meant] = KNOWN.map((known) => ({ known, edits: editsBetween(name, known) }))
      .filter(({ known, edits }) => known.length >= SHORTEST && edits <= MOST_EDITS)
      .sort((a, b) => a.edits - b.edits);
    return meant === undefined ? [] : [{ name, meant: meant.known }];
  });
}

/** Least number of letters to insert, delete or replace (Levenshtein). */
function editsBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 0; i < from.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < to.length; j++) {
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (from[i] === to[j] ? 0 : 1)));
    }
    row = next;
  }
  return row[to.length]!;
}
