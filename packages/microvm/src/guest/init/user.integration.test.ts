import { spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compiled } from './testing/compile.ts';

const identity = compiled('identity', ['user.c']);

/** Docker's USER and the image's two files. */
type Case = readonly [user: string, passwd: string, group: string];

/** Returns the identity for each case as `uid:gid groups home`, or the error message. */
function identitiesOf(cases: readonly Case[]): string[] {
  const input = Buffer.from(
    cases
      .flat()
      .map((part) => `${part}\0`)
      .join(''),
    'latin1',
  );
  const { status, stdout, stderr } = spawnSync(identity.path, { input, maxBuffer: 2 ** 26 });
  expect(stderr.toString()).toBe('');
  expect(status).toBe(0);
  return stdout.toString('latin1').split('\n').slice(0, -1);
}

const passwd = [
  'root:x:0:0:root:/root:/bin/sh',
  'app:x:1000:1000:App,,,:/home/app:/bin/sh',
  'again:x:1000:7:same number::/bin/sh',
  '4000:x:5:5:a name of digits:/digits:/bin/sh',
  'nonumber:x:abc:1::/:/bin/sh',
  'short:x:9',
  'high:x:4294967295:1::/:/bin/sh',
  '',
].join('\n');
const group = [
  'root:x:0:',
  'wheel:x:10:root,other',
  'staff:x:50:other,app',
  'apps:x:51:application,app',
  '60:x:6:',
  'broken:x',
  '',
].join('\n');
const noUser = "no such user in the image's /etc/passwd";
const noGroup = "no such group in the image's /etc/group";

describe("Docker's USER", () => {
  it.each([
    ['empty: root with its groups', '', '0:0 10 /root'],
    ['a name', 'app', '1000:1000 50,51 /home/app'],
    [
      'a number with a passwd line: the first such line, with the groups of its name',
      '1000',
      '1000:1000 50,51 /home/app',
    ],
    ['a number without a passwd line: group 0', '777', '777:0  /'],
    ['digits, although a user has this name', '4000', '4000:0  /'],
    ['leading zeros', '0001000', '1000:1000 50,51 /home/app'],
    ['a user without a home', 'again', '1000:7  /'],
    ['a name and a group: that group alone', 'app:staff', '1000:50  /home/app'],
    ['a name and a number without a group line', 'app:99', '1000:99  /home/app'],
    ['digits as a group, although a group has this name', 'app:60', '1000:60  /home/app'],
    ['two numbers', '5000:6000', '5000:6000  /'],
    ['a group alone', ':staff', '0:50  /root'],
    ['an empty group: the same as no group', 'app:', '1000:1000 50,51 /home/app'],
    ['the largest number', '4294967294', '4294967294:0  /'],
    ['an unknown name', 'nobody', noUser],
    ['an unknown group', 'app:nobody', noGroup],
    ['a group whose line has no number', 'app:broken', noGroup],
    ['a user whose line has no number: never user 0', 'nonumber', noUser],
    ['a user whose line is too short: never group 0', 'short', noUser],
    ['the number that means "unchanged"', '4294967295', noUser],
    ['a name with that number', 'high', noUser],
    ['a number that does not fit', '99999999999999999999', noUser],
    ['a negative number', '-1', noUser],
    ['a number with a sign', '+1000', noUser],
    ['two colons', 'app:staff:wheel', noGroup],
    ['a part of a name', 'ap', noUser],
    ['a name with a trailing blank', 'app ', noUser],
  ])('%s (%j)', (_what, user, who) => {
    expect(identitiesOf([[user, passwd, group]])).toEqual([who]);
  });

  it('may be a number without the two files, but not a name', () => {
    expect(
      identitiesOf([
        ['', '', ''],
        ['12:34', '', ''],
        ['app', '', ''],
      ]),
    ).toEqual(['0:0  /', '12:34  /', noUser]);
  });

  it('yields at most 64 groups, and the home / instead of one that is too long', () => {
    const many = Array.from({ length: 100 }, (_, at) => `g${at}:x:${100 + at}:app`).join('\n');
    const long = `app:x:1:1::/${'h'.repeat(5_000)}:`;
    const [who] = identitiesOf([['app', long, many]]);
    expect(who).toBe(`1:1 ${Array.from({ length: 64 }, (_, at) => 100 + at).join()} /`);
  });
});

/** A second implementation of the same rules, for comparison. */
function expected([user, passwdText, groupText]: Case): string {
  const number = (value: string | undefined) =>
    /^\d{1,10}$/.test(value ?? '') && Number(value) < 2 ** 32 - 1 ? Number(value) : null;
  const lines = (text: string) => text.split('\n').map((line) => line.split(':'));
  const at = user.indexOf(':');
  const wantedUser = at < 0 ? user : user.slice(0, at);
  const wantedGroup = at < 0 ? '' : user.slice(at + 1);
  const uid = wantedUser === '' ? 0 : number(wantedUser);
  const line = lines(passwdText)
    .filter((parts) => number(parts[2]) !== null && number(parts[3]) !== null)
    .find((parts) => (uid === null ? parts[0] === wantedUser : number(parts[2]) === uid));
  if (!line && uid === null) return noUser;
  const who = { uid: line ? number(line[2]) : uid, gid: line ? number(line[3]) : 0, home: line?.[5] || '/' };
  const groups = lines(groupText).filter((parts) => number(parts[2]) !== null);
  if (wantedGroup !== '') {
    const gid = number(wantedGroup) ?? number(groups.find((parts) => parts[0] === wantedGroup)?.[2]);
    return gid === null ? noGroup : `${who.uid}:${gid}  ${who.home}`;
  }
  const own = groups.filter((parts) => line?.[0] && parts[3]?.split(',').includes(line[0]));
  return `${who.uid}:${who.gid} ${own.map((parts) => number(parts[2])).join()} ${who.home}`;
}

describe('arbitrary files', () => {
  const word = fc.constantFrom('', 'a', 'b', 'ab', '0', '1', '10', '4294967295', 'a,b', ',', 'b,,a', ' ');
  const line = fc.array(word, { maxLength: 8 }).map((words) => words.join(':'));
  const file = fc.array(line, { maxLength: 8 }).map((lines) => lines.join('\n'));
  const user = fc.array(word, { maxLength: 3 }).map((words) => words.join(':'));

  it('with nearly valid lines are read like the reference implementation does', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(user, file, file), { maxLength: 200 }), (cases) => {
        expect(identitiesOf(cases)).toEqual(cases.map(expected));
      }),
      { numRuns: 50 },
    );
  });

  it('with arbitrary bytes cause no memory fault', () => {
    const bytes = fc
      .array(fc.constantFrom('a', '0', ':', ',', '\n', '\r', '\xff', '\x01'), { maxLength: 300 })
      .map((characters) => characters.join(''));
    fc.assert(
      fc.property(fc.array(fc.tuple(bytes, bytes, bytes), { maxLength: 100 }), (cases) => {
        expect(identitiesOf(cases).length).toBeGreaterThanOrEqual(cases.length);
      }),
      { numRuns: 50 },
    );
  });
});
