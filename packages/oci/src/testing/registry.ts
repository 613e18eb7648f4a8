import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { digestOf } from '../digest.ts';
import { type ImageFiles, json, manifestOf } from './image.ts';

export const user = 'worker';
export const password = 'wrench-and-bolt';
/** Bcrypt hash of the password for the real registry. */
const hashed = '$2y$05$abcdefghijklmnopqrstuuqEcHxVrIKkpTOoFseSS32gA9/cdqsTu';
export const basic = Buffer.from(`${user}:${password}`).toString('base64');

export const types = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
} as const;

interface Document {
  readonly type: string;
  readonly bytes: Buffer;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * A fake registry without TLS that serves images from memory. It implements the parts of the distribution specification (v1.1) that
 * clients read: `/v2/`, manifests and blobs by GET and HEAD, and errors. Tests make it misbehave with `intercept`.
 */
export class FakeRegistry {
  /** Manifests by `name:reference`. */
  readonly manifests = new Map<string, Document>();
  readonly blobs = new Map<string, Buffer>();
  readonly requests: string[] = [];
  /** The Basic credentials that requests must have; null: none. */
  basic: string | null = null;
  intercept: Answer = () => false;
  place = '';
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      this.requests.push(`${request.method} ${request.url}`);
      if (!this.intercept(request, response)) this.answer(request, response);
    });
  }

  static async start(): Promise<FakeRegistry> {
    const registry = new FakeRegistry();
    registry.server.listen(0, '127.0.0.1');
    await once(registry.server, 'listening');
    registry.place = `127.0.0.1:${(registry.server.address() as AddressInfo).port}`;
    return registry;
  }

  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }

  /** Adds the only image of a layout and returns its digest. */
  put(name: string, tag: string, files: ImageFiles): string {
    for (const [path, bytes] of files)
      if (path.startsWith('blobs/')) this.blobs.set(path.slice('blobs/'.length).replace('/', ':'), bytes);
    const manifest = manifestOf(files);
    return this.putManifest(name, tag, types.manifest, files.get(manifest.name) as Buffer);
  }

  putManifest(name: string, tag: string, type: string, bytes: Buffer): string {
    for (const reference of [tag, digestOf(bytes)])
      this.manifests.set(`${name}:${reference}`, { type, bytes });
    return digestOf(bytes);
  }

  /** Returns the number of requests for layers and configurations. */
  blobRequests(): number {
    return this.requests.filter((line) => line.includes('/blobs/')).length;
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    if (this.basic !== null && request.headers.authorization !== `Basic ${this.basic}`) {
      response.setHeader('www-authenticate', 'Basic realm="fake"');
      return refuse(response, 401, 'UNAUTHORIZED');
    }
    const [, name = '', kind, reference = ''] =
      /^\/v2\/(.+)\/(manifests|blobs)\/([^/?]+)$/.exec(request.url ?? '') ?? [];
    if (request.url === '/v2/') return void response.writeHead(200).end('{}');
    const found =
      kind === 'manifests'
        ? this.manifests.get(`${name}:${reference}`)
        : { type: 'application/octet-stream', bytes: this.blobs.get(reference) };
    if (!found?.bytes)
      return refuse(response, 404, kind === 'manifests' ? 'MANIFEST_UNKNOWN' : 'BLOB_UNKNOWN');
    response.writeHead(200, {
      'content-type': found.type,
      'content-length': found.bytes.length,
      'docker-content-digest': digestOf(found.bytes),
    });
    response.end(request.method === 'HEAD' ? undefined : found.bytes);
  }
}

/** Answers with an error in the format of the specification. */
export function refuse(response: ServerResponse, status: number, code: string, message = code): void {
  const body = json({ errors: [{ code, message, detail: null }] });
  response.writeHead(status, { 'content-type': 'application/json' }).end(body);
}

/** Unpacks a package of Debian below a directory, without installing it. Returns its root. Needs apt's package lists. */
export function unpackedPackage(directory: string, name: string): string {
  const unpacked = join(directory, 'package');
  mkdirSync(unpacked, { recursive: true });
  execFileSync('apt-get', ['download', name], { cwd: unpacked, stdio: 'pipe' });
  const [deb] = readdirSync(unpacked).filter((one) => one.endsWith('.deb'));
  execFileSync('dpkg-deb', ['-x', deb as string, '.'], { cwd: unpacked });
  return unpacked;
}

/** Starts Debian's docker-registry, not installed, because its package would start a service. Needs apt's package lists. */
export async function realRegistry(
  directory: string,
): Promise<{ readonly place: string; stop(): Promise<void> }> {
  const unpacked = unpackedPackage(directory, 'docker-registry');
  const passwords = join(directory, 'passwords');
  writeFileSync(passwords, `${user}:${hashed}\n`);
  const place = `127.0.0.1:${await freePort()}`;
  const config = {
    version: '0.1',
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(directory, 'storage') } },
    http: { addr: place },
    auth: { htpasswd: { realm: 'registry', path: passwords } },
  };
  const file = join(directory, 'registry.yml');
  writeFileSync(file, JSON.stringify(config)); // JSON is YAML
  const child = spawn(join(unpacked, 'usr/bin/docker-registry'), ['serve', file], {
    stdio: 'ignore',
    env: { OTEL_TRACES_EXPORTER: 'none' },
  });
  await untilServing(`http://${place}/v2/`, child);
  return {
    place,
    async stop() {
      const ended = once(child, 'exit');
      child.kill();
      await ended;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

async function untilServing(url: string, child: ChildProcess): Promise<void> {
  while (child.exitCode === null) {
    const answer = await fetch(url).catch(() => null);
    if (answer) return void (await answer.arrayBuffer());
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
  throw new Error(`the registry ended with ${child.exitCode}`);
}
