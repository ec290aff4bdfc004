import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository. */
export const root: string = fileURLToPath(new URL('../../../', import.meta.url));

/** A fenced block of a document. */
export interface Snippet {
  /** `README.md:54`. */
  readonly place: string;
  readonly language: string;
  readonly text: string;
}

/** Every document of the repository, relative to it. */
export function documents(): string[] {
  const notes = readdirSync(join(root, 'binding-notes')).map((name) => `binding-notes/${name}`);
  return ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'bench/README.md', ...notes];
}

export function read(document: string): string {
  return readFileSync(join(root, document), 'utf8');
}

/** The fenced blocks of a document, in order. */
export function snippets(document: string): Snippet[] {
  const text = read(document);
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map((match) => ({
    place: `${document}:${text.slice(0, match.index).split('\n').length}`,
    language: match[1]!,
    text: match[2]!,
  }));
}
