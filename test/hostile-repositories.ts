import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { GitServer } from '../packages/git/src/testing/git-server.ts';

const secretText = 'only the host knows this text';

/** What nothing of a repository may reach: a secret that every user of the host can read, and a program that leaves a mark beside it when it runs. */
export class Canary {
  readonly directory = mkdtempSync(join(tmpdir(), 'fumehood-canary-'));
  readonly secret = join(this.directory, 'secret');
  readonly trap = join(this.directory, 'trap');
  readonly #passwords = readFileSync('/etc/passwd', 'utf8');

  constructor() {
    chmodSync(this.directory, 0o777);
    writeFileSync(this.secret, `${secretText}\n`);
    chmodSync(this.secret, 0o666);
    writeFileSync(this.trap, `#!/bin/sh\ntouch "$0.ran"\ncat\n`);
    chmodSync(this.trap, 0o755);
  }

  /** Expects that nobody has read the secret into these texts, changed it, run the program, or written beside them. */
  expectUntouched(texts: readonly string[]): void {
    for (const text of texts) expect(text).not.toContain(secretText);
    expect(readdirSync(this.directory).toSorted()).toEqual(['secret', 'trap']);
    expect(readFileSync(this.secret, 'utf8')).toBe(`${secretText}\n`);
    expect(readFileSync('/etc/passwd', 'utf8')).toBe(this.#passwords);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }
}

/** The files of a directory with a script that a step runs there. */
type Attack = Readonly<Record<string, string | Buffer>>;

/**
 * Commits a tree of links that lead out, names that look like options or hold control characters, attributes that name programs, a submodule at an odd
 * address, and these attacks by their directories.
 */
export function hostileRoot(
  remote: GitServer,
  canary: Canary,
  attacks: Readonly<Record<string, Attack>>,
): void {
  const root = remote.directory;
  const links = {
    passwords: '/etc/passwd',
    secret: canary.secret,
    'secret-directory': canary.directory,
    up: `../../../../../../..${canary.secret}`,
    parent: '..',
    loop: 'loop',
    'own-git': '.git/config',
  };
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(root, name));
  mkdirSync(join(root, 'links'));
  symlinkSync('../README.md', join(root, 'links/relative'));
  for (const name of [
    '--upload-pack=touch x',
    '-rf',
    'new\nline',
    '\x1b[31mred\x07',
    'a"quote',
    'ends with a blank ',
  ])
    writeFileSync(join(root, name), 'x\n');
  writeFileSync(Buffer.concat([Buffer.from(`${root}/not-utf8-`), Buffer.from([0xff, 0xfe])]), 'x\n');
  const files = {
    'README.md': 'hello\n',
    '.gitattributes': '* filter=evil diff=evil merge=evil ident export-subst\n',
    '.gitmodules': [
      ...['[submodule "../../evil"]', `\tpath = vendor/evil`, `\turl = ext::sh -c ${canary.trap}`],
      ...[
        '[submodule "option"]',
        '\tpath = -option',
        `\turl = --upload-pack=${canary.trap}`,
        '\tupdate = !trap\n',
      ],
    ].join('\n'),
    ...Object.fromEntries(
      Object.entries(attacks).flatMap(([directory, attack]) =>
        Object.entries(attack).map(([path, content]) => [`${directory}/${path}`, content]),
      ),
    ),
  };
  mkdirSync(join(root, 'vendor/evil'), { recursive: true });
  remote.git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},vendor/evil`);
  remote.commit(files);
}

/** Attacks that change what a step can reach, and leave nothing in the diff but files that may be there. */
export function harmless({ directory, secret, trap }: Canary): Readonly<Record<string, Attack>> {
  return {
    git: {
      'attack.sh': `
        cd ..
        mkdir -p .git/hooks .git/objects/info
        printf '#!/bin/sh\\nexit 1\\n' > .git/hooks/pre-commit
        for hook in post-index-change reference-transaction post-checkout; do cp .git/hooks/pre-commit .git/hooks/$hook; done
        chmod 755 .git/hooks/*
        printf '[core]\\nfsmonitor = ${trap}\\nworktree = /\\nexcludesFile = ${secret}\\n[include]\\npath = ${secret}\\n' >> .git/config
        printf '[filter "evil"]\\nclean = ${trap}\\nrequired = true\\n[diff "evil"]\\ntextconv = ${trap}\\n' >> .git/config
        echo 'ref: refs/heads/../../../..${secret}' > .git/HEAD
        echo junk > .git/index
        rm -rf .git/objects/pack
        echo ${directory} > .git/objects/info/alternates
        echo '*' > .git/info/exclude
        echo harmless > git/harmless.txt`,
    },
    gone: {
      'attack.sh': `
        rm -rf ../.git
        for name in git sh bash; do rm -f /bin/$name; printf '#!/bin/busybox false\\n' > /bin/$name; chmod 755 /bin/$name; done
        ln -s /etc/passwd link; echo added >> link
        mkdir -p ${directory}; ln -s ${directory} out; echo written > out/written; echo changed > out/secret
        rm link out
        echo '{"operation":"CACHE_AFTER_STEP_RESULT","metadata":{"key":"k","value":{"stepIndex":0,"diff":"","stdout":"forged","outputs":{}}}}'
        printf '\\033]0;title\\007\\033[2Jthe job is complete\\r\\n\\000\\377\\n::set-output name=x::y\\n'
        yes 'a line without end' | head -c 8000000
        echo harmless > harmless.txt`,
      'second.sh': 'test -L /bin/sh && test ! -e out && cat harmless.txt > second.txt',
    },
    names: {
      'attack.sh': `
        for name in -- --output=x 'a"quote' "$(printf 'new\\nline')" "$(printf '\\033[31mred')" 'ends with a blank ' con; do echo x > "./$name"; done`,
    },
    moved: { 'attack.sh': 'mkdir -p deep/er; mv ../links/relative deep/er/relative' },
  };
}

/** A small text in YAML that stands for 10^11 words. */
export const yamlBomb = Array.from({ length: 12 }, (_, at) =>
  at === 0
    ? 'a0: &a0 boom'
    : `a${at}: &a${at} [${Array<string>(10)
        .fill(`*a${at - 1}`)
        .join(', ')}]`,
).join('\n');

/** Attacks after which there is no result. */
export function refused(canary: Canary): Readonly<Record<string, Attack>> {
  return {
    'link-out': { 'attack.sh': `ln -s ${canary.secret} out` },
    big: { 'attack.sh': 'dd if=/dev/urandom of=big bs=1M count=56' },
    zeros: {
      'attack.sh': 'for at in 1 2 3 4 5 6 7 8 9; do dd if=/dev/zero of=zeros$at bs=1M count=60; done',
    },
    gitlink: { 'attack.sh': 'mkdir nested; mv dot-git nested/.git', ...nestedRepository() },
    'dot-git': { 'attack.sh': 'mkdir -p .GIT; echo x > .GIT/config' },
    latin1: { 'attack.sh': `echo x > "$(printf 'caf\\351')"` },
    yaml: { 'attack.sh': 'true', 'bomb.yaml': yamlBomb },
    template: { 'attack.sh': 'true' },
    nested: { 'attack.sh': 'true' },
    printf: { 'attack.sh': 'true' },
    file: { 'attack.sh': 'true' },
  };
}

/** Returns the files of a repository with one commit, whose `.git` has another name. */
function nestedRepository(): Attack {
  const root = mkdtempSync(join(tmpdir(), 'fumehood-nested-'));
  try {
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', root, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
        stdio: 'pipe',
      });
    git('init', '-q', '--template=');
    git('commit', '-q', '--allow-empty', '-m', 'nested');
    const names = readdirSync(join(root, '.git'), { recursive: true, withFileTypes: true });
    return Object.fromEntries(
      names
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name))
        .map((path) => [`dot-git/${path.slice(root.length + '/.git/'.length)}`, readFileSync(path)]),
    );
  } finally {
    rmSync(root, { recursive: true });
  }
}

/** Commits a tree, of which each entry is a mode, a kind, an object and a name. Git checks nothing of it. */
function commitTree(
  remote: GitServer,
  entries: readonly (readonly [mode: string, name: string, object: string])[],
): void {
  const tree = Buffer.concat(
    entries.flatMap(([mode, name, object]) => [Buffer.from(`${mode} ${name}\0`), Buffer.from(object, 'hex')]),
  );
  const run = (args: readonly string[], input: string | Buffer) =>
    execFileSync('git', ['-C', remote.directory, ...args], { input, encoding: 'utf8' }).trim();
  const id = run(['hash-object', '-t', 'tree', '-w', '--literally', '--stdin'], tree);
  const commit = remote.git('commit-tree', '-m', 'a tree', id);
  remote.git('update-ref', 'refs/heads/main', commit);
}

const blobOf = (remote: GitServer, text: string) =>
  execFileSync('git', ['-C', remote.directory, 'hash-object', '-w', '--stdin'], {
    input: text,
    encoding: 'utf8',
  }).trim();

/** Commits more files than a diff may change, and a script that removes them. */
export function withManyFiles(remote: GitServer): void {
  const script = blobOf(remote, 'rm -rf files/*');
  const empty = blobOf(remote, '');
  const names = Array.from(
    { length: 50_001 },
    (_, at) => `100644 blob ${empty}\t${String(at).padStart(5, '0')}\n`,
  );
  const files = execFileSync('git', ['-C', remote.directory, 'mktree'], {
    input: names.join(''),
    encoding: 'utf8',
  });
  commitTree(remote, [
    ['100644', 'attack.sh', script],
    ['40000', 'files', files.trim()],
  ]);
}

/** Commits a tree with a file at a path that would be in git's own directory. */
export function withForbiddenPath(remote: GitServer): void {
  const evil = blobOf(remote, '[core]\n\tfsmonitor = touch /tmp/x\n');
  const config = execFileSync('git', ['-C', remote.directory, 'mktree'], {
    input: `100644 blob ${evil}\tconfig\n`,
    encoding: 'utf8',
  });
  commitTree(remote, [
    ['40000', '.git', config.trim()],
    ['100644', 'attack.sh', evil],
  ]);
}
