import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const file = join(root, 'README.md');
const place = /(<!-- demo:.*-->\n```\n)([^]*?)(```\n<!-- \/demo -->)/;

/** Returns the demo's block in the README. */
export function shownBlock(): string {
  return (place.exec(readFileSync(file, 'utf8'))?.[2] ?? '').trimEnd();
}

/** Runs the demo and writes its block into the README: `npm run readme`. */
if (import.meta.main) {
  const block = execFileSync('npm', ['run', '--silent', 'demo'], { cwd: root, encoding: 'utf8' });
  const text = readFileSync(file, 'utf8');
  writeFileSync(
    file,
    text.replace(place, (_, before, _old, after) => `${before}${block.trim()}\n${after}`),
  );
}
