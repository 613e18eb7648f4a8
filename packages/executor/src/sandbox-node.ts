/** Where sandboxed programs that run on Node find it: the upload client, the disk maker, and the bridge that runs skopeo. */
export const sandboxNode = '/opt/fumehood/node';
