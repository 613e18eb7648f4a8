import { FumehoodError } from '@fumehood/base';

export const organisationNotFound = (name: string) =>
  new FumehoodError({
    status: 404,
    code: 'organisation_not_found',
    message: `there is no organisation ${name} that you are a member of`,
    remedy: 'List yours: `fumehood orgs list`. An admin makes organisations, and adds their members.',
  });

export const memberNotFound = (organisation: string, user: string) =>
  new FumehoodError({
    status: 404,
    code: 'member_not_found',
    message: `the organisation ${organisation} has no member ${user}`,
    remedy: 'List its members: `fumehood orgs list`.',
  });

export const organisationInUse = (name: string) =>
  new FumehoodError({
    status: 409,
    code: 'organisation_in_use',
    message: `the organisation ${name} has batch changes`,
    remedy: 'It stays, for their history. Remove its members so that nobody uses it any more.',
  });

export const namespaceNotFound = (namespace: string) =>
  new FumehoodError({
    status: 404,
    code: 'namespace_not_found',
    message: `there is no namespace ${namespace} that you may use`,
    remedy:
      'Give your own name, or org/NAME of an organisation that you are a member of: `fumehood orgs list`.',
  });
