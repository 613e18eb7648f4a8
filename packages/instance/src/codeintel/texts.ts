import { posix } from 'node:path';
import type { Mirror } from '@fumehood/git';
import type { DocumentHead } from '@fumehood/scip';
import { findFiles, readFiles } from '../repos/commit-files.ts';
import { type Columns, columnsOf } from './columns.ts';

/** Bytes of the largest file whose text is read. */
const fileBytesMax = 4 * 2 ** 20;
/** Of the files whose texts are in memory at a time. */
const groupBytes = 16 * 2 ** 20;

/** The text by which the characters of a document are converted. */
export interface SourceText {
  readonly unit: 'utf8' | 'utf32';
  /** Its place in the commit; null: the document has it itself. */
  readonly file: { readonly path: string; readonly object: string; readonly size: number } | null;
  readonly text: string | null;
}

/** Texts of the files of a commit, for documents that count characters in other units than UTF-16. */
export class SourceTexts {
  readonly #openMirror: () => Promise<Mirror | null>;
  readonly #commit: string;
  readonly #root: string;
  #mirror: Promise<Mirror | null> | null = null;

  /** `openMirror` is called when a text is needed. `root`: where the paths of documents begin. */
  constructor(openMirror: () => Promise<Mirror | null>, commit: string, root: string) {
    this.#openMirror = openMirror;
    this.#commit = commit;
    this.#root = root;
  }

  /** Returns the text of each document; null: it needs none, or there is none. Errors: `git_failed`. */
  async find(heads: readonly DocumentHead[]): Promise<(SourceText | null)[]> {
    const paths = heads.map(({ encoding, text, path }) =>
      (encoding === 'utf8' || encoding === 'utf32') && text === null ? posix.join(this.#root, path) : '',
    );
    const wanted = paths.filter((path) => path !== '').map((path) => ({ commit: this.#commit, path }));
    const mirror = wanted.length === 0 ? null : await (this.#mirror ??= this.#openMirror());
    const files = mirror === null ? [] : await findFiles(mirror, wanted);
    let next = 0;
    return heads.map(({ encoding, text }, at) => {
      const path = paths[at] ?? '';
      const file = path === '' ? null : (files[next++] ?? null);
      if (encoding !== 'utf8' && encoding !== 'utf32') return null;
      if (text !== null) return { unit: encoding, file: null, text };
      return file === null || file.size > fileBytesMax
        ? null
        : { unit: encoding, file: { path, ...file }, text };
    });
  }

  /** Yields what converts the characters of each of these documents; null: they are as they are to be. Errors: `git_failed`. */
  async *columns(sources: readonly (SourceText | null)[]): AsyncGenerator<Columns | null> {
    let texts = new Map<string, string | null>();
    for (const [at, source] of sources.entries()) {
      const path = source?.file?.path;
      if (path !== undefined && !texts.has(path)) texts = await this.#read(sources.slice(at));
      const text = path === undefined ? (source?.text ?? null) : (texts.get(path) ?? null);
      yield source === null || text === null ? null : columnsOf(text, source.unit);
    }
  }

  /** Reads the texts of the first files, as many as may be in memory; null for a file that is no text. */
  async #read(sources: readonly (SourceText | null)[]): Promise<Map<string, string | null>> {
    const paths: string[] = [];
    let bytes = 0;
    for (const source of sources) {
      if (!source?.file) continue;
      bytes += source.file.size;
      if (paths.length > 0 && bytes > groupBytes) break;
      paths.push(source.file.path);
    }
    const mirror = await this.#mirror;
    const found = mirror
      ? await readFiles(mirror, this.#commit, paths, fileBytesMax)
      : new Map<string, string>();
    return new Map(paths.map((path) => [path, found.get(path) ?? null]));
  }
}
