import { spawn } from 'node:child_process';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { join, normalize } from 'node:path';
import { serveNames } from './name-server.ts';

/**
 * What answers for a host: files of a directory, git for the repositories of a directory, or a server on this port of loopback. `credential`: what the
 * field `authorization` has to be.
 */
export type HostContent =
  | { readonly files: string; readonly credential?: string }
  | { readonly git: string }
  | { readonly port: number };

/** The servers of an internet. */
export interface ServersConfig {
  readonly nameServer: string;
  readonly hosts: Readonly<Record<string, { readonly address: string; readonly content: HostContent }>>;
  /** For all names of the hosts. */
  readonly certificateFile: string;
  readonly keyFile: string;
}

/**
 * The internet of a test, in a network namespace of its own: a name server, and for each host a server on its ports 80 and 443. Prints "ready":
 * `servers.ts CONFIG`.
 */
const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ServersConfig;
const tls = { cert: readFileSync(config.certificateFile), key: readFileSync(config.keyFile) };
const addresses: Record<string, string> = {};
for (const [name, { address, content }] of Object.entries(config.hosts)) {
  addresses[name] = address;
  const answer = (question: IncomingMessage, reply: ServerResponse) => {
    if ('credential' in content && question.headers.authorization !== content.credential)
      reply.writeHead(401).end();
    else if ('files' in content) sendFile(content.files, question, reply);
    else if ('git' in content) runGit(content.git, question, reply);
    else passOn(content.port, question, reply);
  };
  await new Promise<void>((resolve) => createServer(answer).listen(80, address, resolve));
  await new Promise<void>((resolve) => createTlsServer(tls, answer).listen(443, address, resolve));
}
await serveNames(config.nameServer, addresses);
console.log('ready');

function sendFile(directory: string, { url = '' }: IncomingMessage, reply: ServerResponse): void {
  const file = join(directory, normalize(decodeURIComponent(url.split('?')[0] ?? '')));
  const found = [file, join(file, 'index.html')].find((one) =>
    statSync(one, { throwIfNoEntry: false })?.isFile(),
  );
  if (found?.endsWith('.html')) reply.setHeader('content-type', 'text/html');
  if (found) createReadStream(found).pipe(reply);
  else reply.writeHead(404).end();
}

/** Runs git's own server for one request (RFC 3875). */
function runGit(directory: string, question: IncomingMessage, reply: ServerResponse): void {
  const { pathname, search } = new URL(question.url ?? '', 'http://host');
  const child = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: directory,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: pathname,
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: question.method,
      CONTENT_TYPE: question.headers['content-type'],
      HTTP_CONTENT_ENCODING: question.headers['content-encoding'],
      GIT_PROTOCOL: String(question.headers['git-protocol'] ?? ''),
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  question.pipe(child.stdin);
  child.stdin.on('error', () => {}); // it answers without reading all of the question
  let head = '';
  child.stdout.on('data', function read(chunk: Buffer) {
    head += chunk.toString('latin1');
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    child.stdout.off('data', read);
    for (const line of head.slice(0, end).split('\r\n')) {
      const [, name = '', value = ''] = /^([^:]+): (.*)$/.exec(line) ?? [];
      if (name === 'Status') reply.statusCode = Number.parseInt(value, 10);
      else reply.setHeader(name, value);
    }
    reply.write(Buffer.from(head.slice(end + 4), 'latin1'));
    child.stdout.pipe(reply);
  });
}

function passOn(port: number, question: IncomingMessage, reply: ServerResponse): void {
  const { method, url, headers } = question;
  const onward = request({ host: '127.0.0.1', port, method, path: url, headers }, (answer) => {
    reply.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(reply);
  });
  onward.on('error', () => reply.writeHead(502).end());
  question.pipe(onward);
}
