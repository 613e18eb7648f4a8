import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readTracked, root, trackedFiles } from './tracked.ts';

/** This file: its cases are citations that lead nowhere. */
const self = 'test/repository/citations.test.ts';

/** Documents that no reader of this repository has. */
const outside = [
  /\bdesign(?:['’]s)? (?:invariants?|§)/gi,
  /\breference §/gi,
  /\bissues? #?\d+/gi,
  /\bconformance vectors?\b/gi,
];
/** The name of a test, or its title in a table, that begins with the number of a vector: `'B16: …'`, `"E7, E8: …"`. */
const vectorName = /['"`][A-Z]\d{1,2}(?:, [A-Z]\d{1,2})*: /g;
/** `docs/X.md`, alone or with an anchor, a section or a number in it. */
const document = /\bdocs\/[\w./-]+\.md\b(?:#([\w-]+))?/g;
const section = /(?:([\w./-]+\.md)\)?`?,? )?§ ?(\d+(?:\.\d+)*)/g;
const numbered = /\b(docs\/[\w-]+\.md)`?, (\d+)\b/g;
const link = /\]\(([^)\s]+)\)/g;
/** A path of this repository in backticks; a segment in capitals stands for any name. */
const named = /`((?:packages|images|test|bench|docs|\.ci)\/[\w./-]+)`/g;

interface Repository {
  exists(path: string): boolean;
  /** The text of a document that exists. */
  read(path: string): string;
}

/** Returns the citations in a file's text that lead nowhere. */
function deadCitations(file: string, source: string, repository: Repository): string[] {
  // A citation may be broken over two lines of a comment.
  const text = source.replaceAll(/\s*\n\s*(?:\*(?!\/)|\/\/|#|--)?\s*/g, ' ');
  const isMarkdown = file.endsWith('.md');
  const found = outside.flatMap((pattern) => all(text, pattern).map(([match]) => match));
  if (file.endsWith('.test.ts')) found.push(...all(source, vectorName).map(([match]) => match));

  const check = (citation: string, path: string, has?: (markdown: string) => boolean) => {
    if (!repository.exists(path) || (has && !has(repository.read(path)))) found.push(citation);
  };
  for (const [citation, anchor] of all(text, document))
    check(citation, citation.split('#')[0] as string, anchor ? hasAnchor(anchor) : undefined);
  for (const [citation, path = '', number = ''] of all(text, numbered))
    check(citation, path, hasSection(number));
  for (const [citation, path, number = ''] of all(text, section)) {
    if (path) check(citation, resolveDocument(file, path, repository), hasSection(number));
    else if (isMarkdown) check(citation, file, hasSection(number));
    else found.push(citation);
  }
  if (isMarkdown) {
    for (const [, target = ''] of all(source, link)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      check(
        target,
        path === '' ? file : normalize(join(dirname(file), path)),
        anchor ? hasAnchor(anchor) : undefined,
      );
    }
    for (const [, path = ''] of all(source, named)) check(path, path.replace(/\/[A-Z]+(?:\/.*)?$/, ''));
  }
  return [...new Set(found)];
}

function all(text: string, pattern: RegExp): RegExpExecArray[] {
  return [...text.matchAll(pattern)];
}

/** Returns the path of a document that is named from the top of the repository, or from beside the file. */
function resolveDocument(file: string, path: string, repository: Repository): string {
  const beside = normalize(join(dirname(file), path));
  return repository.exists(beside) ? beside : path;
}

function headings(markdown: string): string[] {
  return all(markdown, /^#+ +(.+)$/gm).map(([, title = '']) => title.trim());
}

/** The anchor that GitHub gives a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');
}

const hasAnchor = (anchor: string) => (markdown: string) => headings(markdown).map(anchorOf).includes(anchor);
const hasSection = (number: string) => (markdown: string) =>
  headings(markdown).some((heading) => heading.startsWith(`${number}. `) || heading.startsWith(`${number} `));

const repository: Repository = { exists: (path) => existsSync(join(root, path)), read: readTracked };
const files = trackedFiles(/\.(ts|mjs|c|h|sql|md|sh|yml)$/).filter((file) => file !== self);

test('every citation leads to something in this repository', () => {
  expect(files.length).toBeGreaterThan(500);
  const found = files.flatMap((file) =>
    deadCitations(file, readTracked(file), repository).map((citation) => `${file}: ${citation}`),
  );
  expect(found).toEqual([]);
});

describe('the check', () => {
  const document = '# Title\n## 1. First things\n### 1.2 More\n## The rest, of it\n';
  const sample: Repository = {
    exists: (path) => ['docs/a.md', 'packages', 'packages/a'].includes(path),
    read: () => document,
  };
  const found = (file: string, text: string) => deadCitations(file, text, sample);

  test.each([
    ['a section of a design', 'x.ts', '/** One size (design §4). */'],
    ['one that is broken over two lines', 'x.ts', '/** One size (design\n * §4). */'],
    ['an invariant of a design', 'x.c', '/* own death (design invariant 7) */'],
    ['a section of a reference', 'x.sql', '-- texts (reference §1.4)'],
    ['the number of an issue', 'x.md', 'see issue 12'],
    ['a section of nothing', 'x.ts', '// as in §3'],
    ['a section that the document itself does not have', 'docs/a.md', `${document}see §3`],
    ['a test that is named after a vector', 'x.test.ts', "it('B16: takes it', () => {});"],
    ['a test that is named after several', 'x.test.ts', "test.each([1])('E7, E8, O1: takes %s', () => {});"],
    [
      'a title in a table that begins with a vector',
      'x.test.ts',
      "test.each([['A1: none', 1]])('%s', () => {});",
    ],
    ['a document that is not there', 'x.ts', '// docs/b.md says why'],
    ['a section that a document does not have', 'x.ts', '// docs/a.md §2'],
    ['a number that a document does not have', 'x.ts', '// docs/a.md, 2'],
    ['an anchor that a document does not have', 'x.sh', '# docs/a.md#second-things'],
    ['a link to a file that is not there', 'docs/x.md', 'see [this](b.md)'],
    ['a link to an anchor that is not there', 'docs/x.md', 'see [this](a.md#second)'],
    ['a path that is not there', 'x.md', 'in `packages/b/src`'],
  ])('finds %s', (_, file, text) => {
    expect(found(file, text)).not.toEqual([]);
  });

  test.each([
    [
      'a document, a section and a number that exist',
      'x.ts',
      '// docs/a.md §1.2, docs/a.md, 1 and docs/a.md',
    ],
    ['a section that the document itself has', 'docs/a.md', `${document}see §1 and §1.2`],
    ['an anchor that exists', 'docs/a.md', '[rest](#the-rest-of-it), [first](../docs/a.md#1-first-things)'],
    ['links that lead to the web', 'README.md', '[other](https://example.com/x.md)'],
    ['a path that exists', 'README.md', 'in `packages/a`, `packages/NAME/b.ts` and `other/b`'],
    ['names of other tests', 'x.test.ts', "it('takes B16: it is there', () => {});"],
  ])('accepts %s', (_, file, text) => {
    expect(found(file, text)).toEqual([]);
  });
});
