import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { instanceUsers } from '../../helper/users.ts';
import { clientConfig, connect } from '../connect.ts';
import { listen } from '../wakes.ts';
import { findBinaries } from './binaries.ts';
import { findEmbeddedPostgres } from './embedded.ts';
import { type DatabaseOptions, startDatabase } from './start.ts';

let directory: string;
let options: DatabaseOptions;

beforeEach(() => {
  // With characters that mean something in PostgreSQL's settings and to a shell.
  directory = mkdtempSync(join(tmpdir(), "fumehood-pg, é'=%41;&-"));
  const { username } = userInfo();
  options = {
    directory,
    runAs: instanceUsers().postgres,
    admin: username,
    owner: username,
    searchPath: process.env.PATH ?? '',
    embeddedPackage,
    settings: { log_min_messages: 'panic', log_checkpoints: 'off' },
  };
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const embeddedPackage = findEmbeddedPostgres();

describe('a private PostgreSQL', () => {
  test('trusts only the user that the kernel reports, and listens on no network', async () => {
    const server = await startDatabase(options, systemClock);
    try {
      const client = new Client(clientConfig(server.connection));
      await client.connect();
      const { rows } = await client.query(
        "select current_user as who, current_setting('listen_addresses') as network",
      );
      expect(rows).toEqual([{ who: 'fumehood', network: '' }]);
      await client.end();
      if (process.getuid?.() !== 0) return;
      // Another user of this machine claims to be the owner.
      const { host } = server.connection as { host: string };
      // It may not be able to reach Node where Node is.
      chmodSync(directory, 0o755);
      const node = join(directory, 'node');
      copyFileSync(process.execPath, node, constants.COPYFILE_FICLONE);
      const claim = `
        const startup = Buffer.from('\\0\\0\\0\\0\\0\\x03\\0\\0user\\0fumehood\\0database\\0fumehood\\0\\0');
        startup.writeInt32BE(startup.length, 0);
        const socket = require('node:net').connect(process.argv[1] + '/.s.PGSQL.5432', () => socket.write(startup));
        socket.pipe(process.stdout);`;
      const ids = ['--reuid=65534', '--regid=65534', '--clear-groups'];
      const other = spawnSync('setpriv', [...ids, node, '-e', claim, host], { encoding: 'latin1' });
      expect(other.stdout, other.stderr).toContain('eer authentication failed');
    } finally {
      await server.stop();
    }
  });

  test('starts after a crash that left its pid file, also when another process has that pid now', async () => {
    const first = await startDatabase(options, systemClock);
    process.kill(first.pid, 'SIGKILL');
    await first.exited;
    writeFileSync(join(directory, 'data/postmaster.pid'), `${process.pid}\n${join(directory, 'data')}\n`);
    const second = await startDatabase(options, systemClock);
    await second.stop();
  });

  test('starts after a crash during the creation of its data', async () => {
    mkdirSync(join(directory, 'data.new'));
    writeFileSync(join(directory, 'data.new/PG_VERSION'), '18\n');
    const server = await startDatabase(options, systemClock);
    await server.stop();
    expect(readdirSync(directory)).not.toContain('data.new');
  });

  test('refuses a data directory that is not its own, and leaves it unchanged', async () => {
    mkdirSync(join(directory, 'data'));
    writeFileSync(join(directory, 'data/somebody'), 'else');
    await expect(startDatabase(options, systemClock)).rejects.toMatchObject({ code: 'database_failed' });
    expect(readdirSync(join(directory, 'data'))).toEqual(['somebody']);
  });

  test('refuses a path that is too long for a socket', async () => {
    const long = join(directory, 'x'.repeat(80));
    await expect(startDatabase({ ...options, directory: long }, systemClock)).rejects.toMatchObject({
      code: 'path_too_long',
    });
  });

  test('of another version than its data is refused with both versions named, or taken from the npm package', async () => {
    const data = join(directory, 'data');
    mkdirSync(data);
    writeFileSync(join(data, 'PG_VERSION'), '99\n');
    await expect(startDatabase(options, systemClock)).rejects.toMatchObject({
      code: 'database_version',
      message: expect.stringContaining('99'),
    });
    rmSync(data, { recursive: true });

    chmodSync(directory, 0o755);
    mkdirSync(data);
    writeFileSync(join(data, 'PG_VERSION'), '18\n');
    const search = { dataDirectory: data, searchPath: '', embeddedCopy: join(directory, 'programs') };
    const { bin, major } = await findBinaries({ ...search, embeddedPackage });
    expect(major).toBe(18);
    rmSync(data, { recursive: true });
    mkdirSync(data, { mode: 0o700 });
    const user = options.runAs;
    if (user) chownSync(data, user.uid, user.gid);
    const ids = user ? { uid: user.uid, gid: user.gid } : {};
    const made = spawnSync(join(bin, 'initdb'), ['-D', data, '-U', 'postgres', '--no-sync'], {
      cwd: '/',
      ...ids,
    });
    expect(made.status).toBe(0);
    const server = await startDatabase({ ...options, embeddedPackage }, systemClock);
    await server.stop();
  });
});

describe('connections', () => {
  test('are reopened after a restart of PostgreSQL, also those that listen', async () => {
    const first = await startDatabase(options, systemClock);
    const db = connect(first.connection, { connections: 2 });
    const wakes = listen(first.connection, systemClock);
    const { sql } = await import('kysely');
    await sql`select 1`.execute(db);
    await first.stop();
    await expect(sql`select 1`.execute(db)).rejects.toThrow();
    const second = await startDatabase(options, systemClock);
    await sql`select 1`.execute(db);
    const subscription = wakes.subscribe('topic');
    const begun = performance.now();
    // A wake is lost until the connection listens again, so it is repeated.
    const calling = setInterval(() => void sql`select pg_notify('fumehood', 'topic')`.execute(db), 100);
    await subscription.next(10_000, new AbortController().signal);
    clearInterval(calling);
    expect(performance.now() - begun).toBeLessThan(5_000);
    await wakes.close();
    await new Promise((resolve) => setTimeout(resolve, 200));
    await db.destroy();
    await second.stop();
  });
});
