/*
 * What docs/ci.md tests: a program that handles some requests, by handle_request, and forgets to end their sessions when built
 * with -DLEAK.
 *
 * requests COUNT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct session {
    struct session *next;
    char user[4000];
};

static struct session *sessions;

static struct session *session_begin(const char *user)
{
    struct session *session = calloc(1, sizeof *session); /* what a request needs */

    if (!session)
        abort();
    strncpy(session->user, user, sizeof session->user - 1);
    session->next = sessions;
    sessions = session;
    return session;
}

static void session_end(struct session *session)
{
    sessions = session->next;
    free(session);
}

__attribute__((noinline)) static void handle_request(int number)
{
    char user[32];

    snprintf(user, sizeof user, "user %d", number);
    struct session *session = session_begin(user);
#ifndef LEAK
    session_end(session);
#else
    (void)session;
    (void)session_end;
#endif
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 20;

    for (int number = 0; number < count; number++)
        handle_request(number);
    printf("%d requests handled\n", count);
    return 0;
}
