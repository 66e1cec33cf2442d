/*
 * Instructions that a thread does in user space, counted by having it stop after each.
 *
 *     step THREAD
 *
 * It is followed until it ends. A line says when that begins, and a line each SIGUSR1 how many instructions it has been so far.
 */

#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile unsigned long instructions;

/* Told at once, since nobody may move for as long as one likes; by means that a handler may use. */
static void tell(int signal)
{
    (void)signal;
    char line[64], *first = line + sizeof line;
    *--first = '\n';
    *--first = '}';
    unsigned long left = instructions;
    do
        *--first = '0' + left % 10;
    while (left /= 10);
    static const char name[] = "{\"instructions\": ";
    first = memcpy(first - (sizeof name - 1), name, sizeof name - 1);
    if (write(STDOUT_FILENO, first, line + sizeof line - first) < 0)
        _exit(1);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = tell, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    pid_t thread = argc == 2 ? atoi(argv[1]) : 0;
    if (thread <= 0 || ptrace(PTRACE_SEIZE, thread, 0, 0) || ptrace(PTRACE_INTERRUPT, thread, 0, 0)) {
        perror("step: cannot follow this thread");
        return 1;
    }
    printf("{\"thread\": %d}\n", thread);
    fflush(stdout);
    for (unsigned long last = 0;;) {
        int status, deliver = 0;
        if (waitpid(thread, &status, __WALL) < 0 || !WIFSTOPPED(status))
            return 0;
        int stopped_by = WSTOPSIG(status), event = status >> 16;
        if (stopped_by == SIGTRAP && !event) {
            /* An instruction that repeats itself (rep movsb) stops each time; a processor counts it once. */
            unsigned long now = ptrace(PTRACE_PEEKUSER, thread, offsetof(struct user_regs_struct, rip), 0);
            instructions += now != last;
            last = now;
        } else if (!event)
            deliver = stopped_by;
        ptrace(PTRACE_SINGLESTEP, thread, 0, deliver);
    }
}
