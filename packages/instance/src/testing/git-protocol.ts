import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Encodes lines of git's protocol, each with its length in front. `null` ends the request, `0001` a section of it. */
export function packets(...lines: (string | null)[]): Buffer {
  const framed = lines.map((line) => {
    if (line === null) return '0000';
    return line === '0001' ? line : (line.length + 5).toString(16).padStart(4, '0') + `${line}\n`;
  });
  return Buffer.from(framed.join(''));
}

/** Returns a request of `git-upload-pack` in protocol version 2. */
export const command = (name: string, ...lines: string[]) =>
  packets(`command=${name}`, 'object-format=sha1', '0001', ...lines, null);

/** Returns the ids of all objects in an answer of `git-upload-pack`; none if the answer has no pack. */
export function objectsIn(answer: Buffer): string[] {
  const pack = packIn(answer);
  if (pack.length === 0) return [];
  const directory = mkdtempSync(join(tmpdir(), 'fumehood-answer-'));
  const git = (args: readonly string[], input?: Buffer) =>
    execFileSync('git', ['--git-dir', directory, ...args], { input, stdio: ['pipe', 'pipe', 'ignore'] });
  try {
    git(['init', '-q', '--bare']);
    git(['index-pack', '--stdin'], pack);
    return git(['cat-file', '--batch-all-objects', '--batch-check=%(objectname)'])
      .toString()
      .split('\n')
      .filter((id) => id !== '');
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Returns the pack in an answer, which comes raw or in packets of band 1. */
function packIn(answer: Buffer): Buffer {
  const bands: Buffer[] = [];
  for (let at = 0; at + 4 <= answer.length; ) {
    const word = answer.toString('latin1', at, at + 4);
    if (word === 'PACK') return answer.subarray(at);
    const size = Math.max(4, Number.parseInt(word, 16) || 0);
    if (answer[at + 4] === 1) bands.push(answer.subarray(at + 5, at + size));
    at += size;
  }
  return Buffer.concat(bands);
}
