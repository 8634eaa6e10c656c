/*
 * The server of `cargo xtask demo`: about a thousand requests a second, each with the allocations
 * of a small server. All of them are freed, except in one line.
 *
 * It ends by itself: after two minutes, or when the process that started it is gone.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum { SESSION_SIZE = 1024, HEADERS = 8, LIFETIME_SECONDS = 120 };

struct session {
    struct session *next;
    char user[SESSION_SIZE - sizeof(struct session *)];
};

struct request {
    char *path;
    char *headers[HEADERS];
};

static struct session *sessions;

/* The leak: each request adds a session to the list, and nothing ever takes one off. */
__attribute__((noinline)) static void session_remember(unsigned long number)
{
    struct session *session = malloc(sizeof *session); /* <- the planted line */

    if (!session)
        abort();
    snprintf(session->user, sizeof session->user, "user-%lu", number);
    session->next = sessions;
    sessions = session;
}

__attribute__((noinline)) static struct request *request_parse(unsigned long number)
{
    struct request *request = calloc(1, sizeof *request);
    char line[64];

    if (!request)
        abort();
    snprintf(line, sizeof line, "/item/%lu", number);
    request->path = strdup(line);
    for (int i = 0; i < HEADERS; i++)
        request->headers[i] = strdup("accept: text/plain");
    return request;
}

__attribute__((noinline)) static void request_free(struct request *request)
{
    for (int i = 0; i < HEADERS; i++)
        free(request->headers[i]);
    free(request->path);
    free(request);
}

__attribute__((noinline)) static char *response_render(const struct request *request)
{
    size_t size = 4096;
    char *body = malloc(size);

    if (!body)
        abort();
    snprintf(body, size, "200 OK\r\n\r\nyou asked for %s\n", request->path);
    return body;
}

__attribute__((noinline)) static void request_handle(unsigned long number)
{
    struct request *request = request_parse(number);
    char *response = response_render(request);

    session_remember(number);
    free(response);
    request_free(request);
}

int main(void)
{
    time_t start = time(NULL);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned long number = 0; time(NULL) - start < LIFETIME_SECONDS; number++) {
        request_handle(number);
        poll(NULL, 0, 1); /* the next request arrives */
    }
    return 0;
}
