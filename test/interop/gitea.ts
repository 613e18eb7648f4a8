import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { cached } from '../../packages/executor/src/testing/test-guest.ts';
import { writeTree } from '../network/packages.ts';

const version = '1.26.0';
/** Gitea refuses to run as root. */
const uid = process.getuid?.() === 0 ? 1_900_000_021 : null;

/** A user of Gitea, with a token that may do everything. */
export interface GiteaUser {
  readonly name: string;
  readonly token: string;
}

/** A real Gitea. */
export interface Gitea {
  readonly url: string;
  /** Adds a user who is an admin. */
  addUser(name: string): GiteaUser;
  /** Sends a request to the API as a user. Throws unless it succeeds. */
  api(user: GiteaUser, method: string, path: string, body?: object): Promise<unknown>;
  stop(): Promise<void>;
}

/** Starts Gitea in a directory of its own. It is built of its sources first, with the Go of this machine, unless that was done before. */
export async function startGitea(): Promise<Gitea> {
  const built = await cached(`gitea-${version}`, buildGitea);
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'gitea-')));
  cpSync(built, directory, { recursive: true });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  writeTree(directory, {
    'app.ini': [
      `WORK_PATH = ${directory}`,
      ...[
        'RUN_MODE = prod',
        '[server]',
        'HTTP_ADDR = 127.0.0.1',
        `HTTP_PORT = ${port}`,
        `ROOT_URL = ${url}/`,
      ],
      ...['DISABLE_SSH = true', 'OFFLINE_MODE = true', `STATIC_ROOT_PATH = ${directory}`],
      ...['[database]', 'DB_TYPE = sqlite3', `PATH = ${directory}/gitea.db`],
      ...['[security]', 'INSTALL_LOCK = true', '[webhook]', 'ALLOWED_HOST_LIST = *'],
      ...['[log]', 'MODE = console', 'LEVEL = error'],
    ].join('\n'),
  });
  if (uid !== null) {
    execFileSync('chown', ['-R', `${uid}:${uid}`, directory]);
    chmodSync(directory, 0o700);
  }
  const run = (...args: string[]): [string, string[]] => {
    const command = [join(directory, 'gitea'), '--config', join(directory, 'app.ini'), ...args];
    const dropped = uid === null ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
    const [program = '', ...rest] = [...dropped, ...command];
    return [program, rest];
  };
  const options = { cwd: directory, env: { PATH: process.env.PATH, HOME: directory, USER: 'gitea' } };
  const admin = (...args: string[]) =>
    execFileSync(...run('admin', 'user', ...args), {
      ...options,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  execFileSync(...run('migrate'), { ...options, stdio: ['ignore', 'ignore', 'inherit'] });
  const server: ChildProcess = spawn(...run('web'), { ...options, stdio: ['ignore', 'ignore', 'inherit'] });
  for (const giveUpAt = Date.now() + 60_000; ; await delay(100)) {
    const answer = await fetch(`${url}/api/v1/version`).catch(() => null);
    if (answer?.ok) break;
    if (Date.now() > giveUpAt || server.exitCode !== null) throw new Error('Gitea does not answer');
  }
  return {
    url,
    addUser(name) {
      const rest = [
        '--password',
        'a password of a test',
        '--email',
        `${name}@test.test`,
        '--must-change-password=false',
      ];
      admin('create', '--username', name, ...rest, '--admin');
      const token = admin('generate-access-token', '--username', name, '--scopes', 'all', '--raw').trim();
      return { name, token };
    },
    async api({ token }, method, path, body) {
      const answer = await fetch(`${url}/api/v1${path}`, {
        ...{ method, headers: { authorization: `token ${token}`, 'content-type': 'application/json' } },
        ...(body && { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${method} ${path} was answered with ${answer.status} ${text}`);
      return text === '' ? null : (JSON.parse(text) as unknown);
    },
    async stop() {
      server.kill('SIGTERM');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A port that is free now. Gitea takes none that it chooses by itself. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Builds Gitea as a dependency of a module that has its `replace` lines, which Go reads of no dependency. */
async function buildGitea(work: string): Promise<string> {
  const [module, made] = [join(work, 'module'), join(work, 'made')];
  mkdirSync(made, { recursive: true });
  const go = (...args: string[]) =>
    execFileSync('go', args, {
      cwd: module,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
      maxBuffer: 2 ** 26,
    });
  mkdirSync(module);
  const path = 'code.gitea.io/gitea';
  const { GoMod, Dir } = JSON.parse(go('mod', 'download', '-json', `${path}@v${version}`)) as Record<
    'GoMod' | 'Dir',
    string
  >;
  const lines = readFileSync(GoMod, 'utf8');
  const replaced = [...lines.matchAll(/^replace (?:\([^)]*\)|.*$)/gm)].map(([text]) => text);
  const [goVersion = ''] = /^go .*$/m.exec(lines) ?? [];
  writeTree(module, {
    'go.mod': ['module peer', goVersion, `require ${path} v${version}`, ...replaced, ''].join('\n'),
    'tools.go': `//go:build tools\n\npackage tools\n\nimport _ "${path}"\n`,
  });
  go('mod', 'tidy');
  const flags = ['-tags', 'sqlite,sqlite_unlock_notify', '-ldflags', `-X main.Version=${version}`];
  go('build', '-buildvcs=false', ...flags, '-o', `${made}/`, path);
  for (const name of ['templates', 'options', 'public'])
    cpSync(join(Dir, name), join(made, name), { recursive: true });
  execFileSync('chmod', ['-R', 'u+w,a+rX', made]);
  return made;
}
