import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CertificateFiles } from './certificates.ts';

/** A proxy that ends TLS and serves instances under the path `/fumehood`. */
export interface ProxyServer extends AsyncDisposable {
  readonly url: string;
  /** The most memory that one of its processes has had so far, MiB. */
  peakMiB(): number;
}

/** Where a proxy runs, and for which instances. */
export interface ProxyPlace {
  /** Its files go there. */
  readonly directory: string;
  /** Of `localhost`. */
  readonly files: CertificateFiles;
  /** Ports of loopback. */
  readonly instances: readonly number[];
}

const page = readFileSync(resolve(import.meta.dirname, '../../docs/install.md'), 'utf8');
/** Owns no file: a proxy that would store a body in one cannot. */
const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

/** Starts Debian's nginx with the settings of docs/install.md. `change` changes them. */
export async function startNginx(
  { directory, files, instances }: ProxyPlace,
  change: (settings: string) => string = (settings) => settings,
): Promise<ProxyServer> {
  const port = await freePort();
  const temporary = prepare(directory, files);
  const settings = filled(documented('nginx'), {
    'listen 443 ssl;': `listen 127.0.0.1:${port} ssl;`,
    'server_name example.com;': 'server_name localhost;',
    '/etc/ssl/example.com/fullchain.pem': files.certificateFile,
    '/etc/ssl/example.com/privkey.pem': files.keyFile,
    'server 127.0.0.1:4177 fail_timeout=1s;': instances
      .map((one) => `server 127.0.0.1:${one} fail_timeout=1s;`)
      .join('\n'),
  });
  const file = join(directory, 'nginx.conf');
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (what) => `${what}_temp_path ${temporary};`,
  );
  writeFileSync(
    file,
    `daemon off; worker_processes 1; pid /dev/null; error_log stderr;
events {}
http { access_log off; ${paths.join(' ')}
${change(settings)}
}`,
  );
  const child = spawn('/usr/sbin/nginx', ['-e', 'stderr', '-p', directory, '-c', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    ...nobody,
  });
  return await proxyOf(child, port);
}

/** Starts Debian's Caddy with the settings of docs/install.md. */
export async function startCaddy({ directory, files, instances }: ProxyPlace): Promise<ProxyServer> {
  const port = await freePort();
  prepare(directory, files);
  const settings = filled(documented('caddyfile'), {
    'example.com {': `https://localhost:${port} {\n\ttls ${files.certificateFile} ${files.keyFile}`,
    '127.0.0.1:4177': instances.map((one) => `127.0.0.1:${one}`).join(' '),
  });
  const file = join(directory, 'Caddyfile');
  writeFileSync(file, `{\n\tadmin off\n\tauto_https off\n}\n${settings}`);
  const child = spawn('/usr/bin/caddy', ['run', '--adapter', 'caddyfile', '--config', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH, HOME: '/nonexistent' },
    ...nobody,
  });
  return await proxyOf(child, port);
}

/** Returns the block of a language in docs/install.md. */
function documented(language: string): string {
  const [, block] = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'ms').exec(page) ?? [];
  if (block === undefined) throw new Error(`docs/install.md has no settings for ${language}`);
  return block;
}

function filled(settings: string, values: Readonly<Record<string, string>>): string {
  return Object.entries(values).reduce((text, [from, to]) => {
    if (text.split(from).length !== 2) throw new Error(`the settings have not one "${from}"`);
    return text.replace(from, to);
  }, settings);
}

/** Makes the certificate readable for the proxy. Returns a directory for temporary files in which it can store none. */
function prepare(directory: string, files: CertificateFiles): string {
  chmodSync(directory, 0o755);
  for (const one of Object.values(files)) {
    chmodSync(one, 0o600);
    if (nobody.uid !== undefined) chownSync(one, nobody.uid, nobody.gid);
  }
  const temporary = join(directory, 'temporary');
  mkdirSync(temporary, { recursive: true, mode: 0o555 });
  if (nobody.uid !== undefined) chownSync(temporary, nobody.uid, nobody.gid); // nginx insists
  return temporary;
}

async function proxyOf(child: ChildProcess, port: number): Promise<ProxyServer> {
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => void (said = (said + chunk.toString()).slice(-10_000)));
  const exited = once(child, 'exit');
  for (const end = Date.now() + 15_000; !(await listens(port)); await sleep(20))
    if (child.exitCode !== null || Date.now() > end) {
      child.kill('SIGKILL');
      throw new Error(`the proxy does not listen: ${said}`);
    }
  const { pid } = child;
  return {
    url: `https://localhost:${port}/fumehood`,
    peakMiB() {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
      const peaks = [String(pid), ...children].filter(Boolean).map((one) => {
        const [, KiB] = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync(`/proc/${one}/status`, 'utf8')) ?? [];
        return Number(KiB) / 1_024;
      });
      return Math.max(...peaks);
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      const ended = await Promise.race([exited.then(() => true), sleep(3_000, false)]);
      if (!ended) child.kill('SIGKILL');
      await exited;
    },
  };
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Returns a port of loopback that nobody uses. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
