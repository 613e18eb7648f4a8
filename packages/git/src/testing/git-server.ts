import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { collect } from '@fumehood/base';

/** A repository, and git's own HTTP server for it, for tests. */
export interface GitServer {
  readonly url: string;
  /** The directory of the repository. */
  readonly directory: string;
  /** Has this done after each push. */
  onPush(run: () => Promise<void>): void;
  /** Bytes that were sent in answers. */
  sent(): number;
  /** Runs git in the repository; returns its output. */
  git(...args: string[]): string;
  /** Writes files, and commits them, at a time if it is given; returns the commit. */
  commit(files: Readonly<Record<string, string | Buffer>>, at?: string): string;
  stop(): void;
}

/** Starts a server of an empty repository. `password`: clients have to give it, as the user `u`. */
export async function startGitServer(password: string | null = null): Promise<GitServer> {
  const root = mkdtempSync(join(tmpdir(), 'fumehood-remote-'));
  chmodSync(root, 0o711);
  const source = join(root, 'source');
  mkdirSync(source);
  const env = {
    PATH: process.env.PATH,
    HOME: root,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
  };
  const args = ['-C', source, '-c', 'user.name=t', '-c', 'user.email=t@t'];
  const git = (...more: string[]) =>
    execFileSync('git', [...args, ...more], {
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .toString()
      .trimEnd();
  git('init', '-q', '-b', 'main');
  git('config', 'http.receivepack', 'true');
  git('config', 'receive.denyCurrentBranch', 'ignore');
  let sent = 0;
  let pushed = async () => {};
  const expected = `Basic ${Buffer.from(`u:${password}`).toString('base64')}`;
  const answer = async (request: IncomingMessage) => {
    if (password !== null && request.headers.authorization !== expected)
      return { status: 401, headers: {}, body: Buffer.alloc(0) };
    const [path = '', query = ''] = (request.url ?? '').split('?');
    const child = spawn('git', ['http-backend'], {
      env: {
        ...env,
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        PATH_INFO: `/source/.git${path}`,
        REQUEST_METHOD: request.method,
        QUERY_STRING: query,
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        HTTP_GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
        GIT_CONFIG_COUNT: '1',
        GIT_CONFIG_KEY_0: 'safe.directory',
        GIT_CONFIG_VALUE_0: '*',
      },
    });
    request.pipe(child.stdin);
    const bytes = await collect(child.stdout, 2 ** 28);
    const end = bytes.indexOf('\r\n\r\n');
    if (path === '/git-receive-pack') await pushed();
    const head = bytes.toString('latin1', 0, end);
    const status = Number(/^Status: (\d+)/m.exec(head)?.[1] ?? 200);
    const type = /^Content-Type: (.*)$/m.exec(head)?.[1]?.trim() ?? '';
    return { status, headers: { 'content-type': type }, body: bytes.subarray(end + 4) };
  };
  const server = createServer((request, response) => {
    void answer(request).then(({ status, headers, body }) => {
      sent += body.length;
      response.writeHead(status, headers).end(body);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    directory: source,
    onPush: (run) => void (pushed = run),
    sent: () => sent,
    git,
    commit(files, at) {
      for (const [name, content] of Object.entries(files)) {
        mkdirSync(dirname(join(source, name)), { recursive: true });
        writeFileSync(join(source, name), content);
      }
      git('add', '-A');
      execFileSync('git', [...args, 'commit', '-q', '-m', 'c'], {
        env: { ...env, ...(at !== undefined && { GIT_COMMITTER_DATE: at }) },
      });
      return git('rev-parse', 'HEAD');
    },
    stop() {
      server.closeAllConnections();
      server.close();
      rmSync(root, { recursive: true, force: true });
    },
  };
}
