/*
 * The first process of the nested machine's initramfs. It loads the modules, lays a file system in memory over the read-only root
 * that virtiofs shares, and executes /start.sh there.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void must(int result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	_exit(1); /* the kernel panics, and QEMU ends */
}

static void load_modules(void)
{
	char name[64], path[96];
	FILE *order = fopen("/modules/order", "r");
	must(order ? 0 : -1, "/modules/order");
	while (fscanf(order, "%63s", name) == 1) {
		snprintf(path, sizeof(path), "/modules/%s", name);
		int file = open(path, O_RDONLY | O_CLOEXEC);
		must(file, path);
		must(syscall(SYS_finit_module, file, "", 0), path);
		close(file);
	}
	fclose(order);
}

static void copy(const char *from, const char *to)
{
	static char buffer[1 << 16];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	must(in, from);
	must(out, to);
	for (ssize_t size; (size = read(in, buffer, sizeof(buffer))) != 0;) {
		must(size, from);
		must(write(out, buffer, size) == size ? 0 : -1, to);
	}
	close(in);
	close(out);
}

int main(void)
{
	load_modules();
	must(mount("root", "/lower", "virtiofs", MS_RDONLY, ""), "virtiofs");
	must(mount("written", "/written", "tmpfs", 0, "size=12g"), "tmpfs");
	must(mkdir("/written/upper", 0755), "upper");
	must(mkdir("/written/work", 0755), "work");
	must(mount("root", "/new", "overlay", 0, "lowerdir=/lower,upperdir=/written/upper,workdir=/written/work"), "overlay");
	copy("/start.sh", "/new/start.sh");
	copy("/command.sh", "/new/command.sh");
	must(mount("dev", "/new/dev", "devtmpfs", 0, ""), "devtmpfs");
	must(mount("proc", "/new/proc", "proc", 0, ""), "proc");
	must(chdir("/new"), "chdir");
	must(mount(".", "/", NULL, MS_MOVE, NULL), "move");
	must(chroot("."), "chroot");
	must(chdir("/"), "chdir");
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	execl("/bin/sh", "sh", "/start.sh", NULL);
	must(-1, "/bin/sh");
}
