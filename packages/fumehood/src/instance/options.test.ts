import { expect, it } from 'vitest';
import { settingsOf } from './options.ts';

it('an instance listens beyond loopback with TLS, or for a proxy that ends it', () => {
  expect(settingsOf({}, {})).toEqual({});
  expect(settingsOf({ listen: '127.0.0.1:80' }, {})).toEqual({ port: 80 });
  expect(settingsOf({ listen: 'localhost:0' }, {})).toEqual({ port: 0 });
  expect(settingsOf({ listen: '[::]:8443', tlsCert: '/c', tlsKey: '/k' }, {})).toEqual({
    tls: { address: '::', port: 8443, certificateFile: '/c', keyFile: '/k' },
  });
  expect(settingsOf({ listen: '10.0.0.1:4177', behindProxy: true }, {})).toEqual({
    plain: { address: '10.0.0.1', port: 4177 },
  });
});

it('the URL names a host that clients may use, and DATABASE_URL the database', () => {
  const url = 'https://fumehood.example.com/sub/';
  expect(settingsOf({ url }, { DATABASE_URL: 'postgres://u@h/d' })).toEqual({
    databaseUrl: 'postgres://u@h/d',
    url: 'https://fumehood.example.com/sub',
    hosts: ['fumehood.example.com'],
  });
});

it.each([
  [{ listen: '0.0.0.0:8443' }, 'other machines reach 0.0.0.0:8443'],
  [{ listen: '0.0.0.0' }, 'not an address and a port'],
  [{ listen: 'example.com:80' }, 'not an address and a port'],
  [{ listen: '0.0.0.0:70000', behindProxy: true }, 'not an address and a port'],
  [{ listen: '0.0.0.0:1', tlsCert: '/c' }, 'belong together'],
  [{ tlsCert: '/c', tlsKey: '/k' }, 'needs an address'],
  [{ behindProxy: true }, 'needs an address'],
  [{ url: 'ftp://x' }, 'not the address of an instance'],
  [{ url: 'https://u:p@x' }, 'not the address of an instance'],
])('%j is refused', (options, why) => {
  expect(() => settingsOf(options, {})).toThrow(why);
});

it('an empty DATABASE_URL is refused', () => {
  expect(() => settingsOf({}, { DATABASE_URL: '' })).toThrow('DATABASE_URL is empty');
});
