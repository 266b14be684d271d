import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Places five orders side by side, then the first one again; prints the id of each answer. */
public class PlaceOrders {
    private static final Pattern ORDER_ID = Pattern.compile("\"order_id\":\\s*\"([0-9a-f-]{36})\"");

    public static void main(String[] arguments) {
        HttpClient client = HttpClient.newHttpClient();
        List<CompletableFuture<HttpResponse<String>>> answers = new ArrayList<>();
        for (int number = 1; number <= 5; number++) {
            answers.add(place(client, arguments[0], arguments[1], number));
        }
        answers.forEach(answer -> print(answer.join()));
        print(place(client, arguments[0], arguments[1], 1).join());
    }

    private static CompletableFuture<HttpResponse<String>> place(
            HttpClient client, String url, String token, int number) {
        String body = "{\"lines\": [{\"sku\": \"MUG-BLUE\", \"quantity\": 1}]}";
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + "/v1/orders"))
                .header("Authorization", "Bearer " + token)
                .header("Idempotency-Key", "jvm-" + number)
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        return client.sendAsync(request, HttpResponse.BodyHandlers.ofString());
    }

    private static void print(HttpResponse<String> answer) {
        Matcher found = ORDER_ID.matcher(answer.body());
        if ((answer.statusCode() != 201 && answer.statusCode() != 202) || !found.find()) {
            throw new IllegalStateException(answer.statusCode() + " " + answer.body());
        }
        System.out.println(found.group(1));
    }
}
