import Foundation
import LigerText
import TestSupport
import Testing

/// Where templates come from, what errors say, and what is bounded.
@Suite struct ChatTemplateTests {
    static let greeting: [JSONValue] = [["role": "user", "content": "Hi"]]

    private func error(
        _ template: String, messages: [JSONValue] = greeting, variables: [String: JSONValue] = [:],
        limits: ChatTemplate.Limits = ChatTemplate.Limits()
    ) throws -> ChatTemplateError {
        try #require(throws: ChatTemplateError.self) {
            try ChatTemplate(template).render(messages: messages, variables: variables, limits: limits)
        }
    }

    // Each with the place of the construct and its name.
    @Test(arguments: [
        ("a\n{% include 'x' %}", 2, 4, "the tag \"include\""),
        ("{% for x in y recursive %}{% endfor %}", 1, 15, "a recursive loop"),
        ("\n\n {{ x | batch(2) }}", 3, 9, "the filter \"batch\""),
        ("{{ x is prime }}", 1, 9, "the test \"prime\""),
        ("{{ x.encode('utf8') }}", 1, 5, "the method \"encode\""),
        ("{{ cycler(1) }}", 1, 4, "the function \"cycler\""),
        ("{{ datetime() }}", 1, 4, "the function \"datetime\""),
        ("{{ x.__class__ }}", 1, 6, "the attribute \"__class__\""),
        ("{{ x | tojson(colour=1) }}", 1, 8, "tojson with an argument \"colour\""),
        ("{{ range() }}", 1, 4, "range with no argument \"start\""),
        ("{{ f(*x) }}", 1, 6, "a call with * or **"),
        ("{{ x | map('batch') }}", 1, 8, "the filter \"batch\""),
        ("{{ x | selectattr('a', 'prime') }}", 1, 8, "the test \"prime\""),
        ("{% call m() %}{% endcall %}", 1, 4, "the tag \"call\""),
        ("{% macro m() %}{{ caller() }}{% endmacro %}", 1, 19, "a macro with a caller"),
        ("{% set ns._x = 1 %}", 1, 8, "the attribute \"_x\""),
        ("{% set x %}{% generation %}{% endgeneration %}{% endset %}", 1, 15, "generation within set"),
        ("{{ 99999999999999999999 }}", 1, 4, "a whole number beyond 64 bits"),
        ("{{ '\\N{DASH}' }}", 1, 5, "the escape \\N"),
        ("{{ x[1, 2] }}", 1, 7, "an index of several values"),
    ])
    func refusesAtParsing(template: String, line: Int, column: Int, found: String) throws {
        let error = try #require(throws: ChatTemplateError.self) { try ChatTemplate(template) }
        #expect(error.kind == .unsupported)
        #expect(error.line == line)
        #expect(error.column == column, "\(error)")
        #expect(error.found.hasPrefix(found), "\(error)")
        #expect(error.advice.contains("ChatTemplates.md"))
    }

    // Beyond the subset only for the values that are met.
    @Test(arguments: [
        "{{ 9223372036854775807 + 1 }}", "{{ -(-9223372036854775807 - 1) }}", "{{ 2 ** 63 }}",
        "{{ messages.append }}{{ [].index }}",
        "{{ namespace() }}", "{{ [1] | map('string') }}", "{{ ('<'|safe) % 1 }}", "{{ ('<'|e).split('l') }}",
        "{{ (-9223372036854775807 - 1) // -1 }}",
        "{{ '1e400' | float | int }}", "{{ 15 | round(-1) }}", "{{ [1] is sameas [1] }}",
        "{{ '{0.x}'.format(1) }}", "{{ 1e19 | int }}",
    ])
    func refusesWhenReached(template: String) throws {
        let error = try error(template)
        #expect([.unsupported, .failed].contains(error.kind), "\(error)")
        #expect(error.line == 1)
    }

    @Test func saysWhatTheTemplateRaises() throws {
        let error = try error("{% for m in messages %}\n  {{ raise_exception('no ' ~ m.role) }}{% endfor %}")
        #expect(error.kind == .raised)
        #expect(
            "\(error)".hasPrefix(
                "the chat template, line 2, column 21: the template refuses these messages: no user"),
            "\(error)")
    }

    @Test func namesWhatIsMissing() throws {
        #expect(try error("{{ a.b }}").found == "\"a\" is undefined")
        #expect(
            try error("{{ messages[0].x.y }}").found
                == "\"x\" is undefined: a value of type dict has no such attribute")
        #expect(try error("{{ messages[0].x + 'a' }}").found.contains("\"x\""))
        #expect(try error("{{ 'a' + 1 }}").found == "\"+\" between str and int")
        #expect(try error("{{ messages.append(1) }}").found.contains("cannot change"))
    }

    @Test func asksForADate() throws {
        let template = try ChatTemplate("{% if messages %}{{ strftime_now('%Y') }}{% endif %}")
        #expect(template.readsDate)
        #expect(try ChatTemplate("{{ strftime_now is defined }}").readsDate == false)
        #expect(try error("{{ strftime_now('%Y') }}").advice == "give a date")
        #expect(try template.render(messages: Self.greeting, date: ChatDate("0999-01-02")).text == "999")
    }

    @Test func marksWhatIsGenerated() throws {
        let template = try ChatTemplate(
            "é{% for m in messages %}<{% generation %}{{ m.content }}ü{% endgeneration %}>{% endfor %}")
        #expect(template.marksGenerated)
        #expect(try ChatTemplate("{{ 'generation' }}").marksGenerated == false)
        let rendering = try template.render(messages: Self.greeting + Self.greeting)
        #expect(rendering.text == "é<Hiü><Hiü>")
        #expect(rendering.generated == [3..<7, 9..<13])
    }

    /// A message that is no object, values too deep, and null members, which transformers leaves out.
    @Test func readsMessages() throws {
        #expect(try error("x", messages: ["Hi"]).kind == .failed)
        var deep: JSONValue = 1
        for _ in 0..<200 { deep = [deep] }
        #expect(try error("x", variables: ["deep": deep]).kind == .excessive)
        let template = try ChatTemplate("{{ messages[0] | tojson }}")
        let message: JSONValue = ["z": 1, "role": "user", "b": nil, "thinking": "t", "a": [nil]]
        #expect(
            try template.render(messages: [message]).text
                == #"{"z": 1, "role": "user", "thinking": "t", "a": [null], "reasoning_content": "t"}"#)
    }

    /// Strings that look alike are different keys and different texts, as in Python.
    @Test func comparesBytes() throws {
        let (composed, decomposed) = ("\u{E9}", "e\u{301}")
        let template = try ChatTemplate(
            "{{ '\(composed)' == '\(decomposed)' }}{{ {'\(composed)': 1, '\(decomposed)': 2} | length }}{{ '\(decomposed)' | length }}"
        )
        #expect(try template.render(messages: []).text == "False22")
    }
}

/// Templates that try to take the process with them.
@Suite struct HostileChatTemplateTests {
    private static func nested(_ open: String, _ middle: String, _ close: String, _ count: Int) -> String {
        String(repeating: open, count: count) + middle + String(repeating: close, count: count)
    }

    static let endless = [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(200) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(200) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == (ns.x | list) }}",
        "{% set ns = namespace(x=1) %}{% for i in range(90) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}{{ {ns.x: 1} }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(90) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
        "{% set ns = namespace(x=1) %}{% for i in range(500) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa{% endfor %}{% endfor %}",
        "{{ 'a' * 9223372036854775807 }}", "{{ [1] * 4611686018427387904 }}", "{{ (1,) * 99999999999 }}",
        "{{ 'a'.center(9223372036854775807) }}",
        "{{ '%9223372036854775807s' % 'a' }}", "{{ '%99999999999999999999s' % 'a' }}",
        "{{ '{:>99999999}'.format('a') }}", "{{ range(9223372036854775807) }}",
        "{{ range(-9223372036854775807, 9223372036854775807) }}", "{{ range(0, 9223372036854775807, 100) }}",
        "{{ ('a' * 60000000).replace('a', 'b' * 60000000) }}",
        "{{ 'x' | indent(9223372036854775807) }}", "{{ [[1]] | tojson(indent=99999999999) }}",
        "{{ (['a'] * 10000) | join('b' * 1000000) }}",
    ]

    @Test(arguments: endless) func stops(template: String) throws {
        var limits = ChatTemplate.Limits()
        // Small, so that the test is quick; the standard ones are only larger.
        (limits.steps, limits.bytes, limits.textBytes) = (200_000, 4 << 20, 1 << 20)
        let parsed = try ChatTemplate(template)
        let error = try #require(throws: ChatTemplateError.self) {
            try parsed.render(messages: [], limits: limits)
        }
        #expect(error.kind == .excessive || error.kind == .unsupported, "\(error)")
    }

    // Nesting beyond what the stack holds, and sources beyond what is read.
    @Test(
        arguments: [
            nested("(", "1", ")", 100_000), nested("[", "1", "]", 100_000), nested("{1:", "1", "}", 100_000),
            nested("not ", "1", "", 100_000), nested("-", "1", "", 100_000),
            nested("1 if 0 else ", "1", "", 100_000), nested("a(", "1", ")", 100_000),
            nested("a[", "1", "]", 100_000), nested("a|d(", "1", ")", 100_000),
            nested("a is eq (", "1", ")", 100_000),
        ].map { "{{ \($0) }}" } + [
            nested("{% if 1 %}", "x", "{% endif %}", 50_000),
            nested("{% for a in b %}", "x", "{% endfor %}", 50_000),
            nested("{% set x %}", "x", "{% endset %}", 50_000),
            "{% set \(nested("(", "a", ")", 10_000)) = 1 %}", String(repeating: " ", count: 5 << 20),
        ])
    func boundsNesting(template: String) throws {
        let error = try #require(throws: ChatTemplateError.self) { try ChatTemplate(template) }
        #expect(error.kind == .excessive, "\(error)")
    }

    // Length is no nesting: chains of any size are worked through.
    @Test(arguments: [
        ("{{ 1" + String(repeating: " + 1", count: 20_000) + " }}", "20001"),
        ("{{ 1" + String(repeating: " and 1", count: 20_000) + " }}", "1"),
        ("{{ 'a'" + String(repeating: "|upper", count: 20_000) + " }}", "A"),
        ("{{ 1" + String(repeating: " < 2 > 1", count: 10_000) + " }}", "True"),
        ("{% if 0 %}" + String(repeating: "{% elif 0 %}", count: 20_000) + "{% else %}e{% endif %}", "e"),
        ("{{ ''" + String(repeating: "~'a'", count: 100) + " }}", String(repeating: "a", count: 100)),
        ("{{ 'a'" + String(repeating: ".upper()", count: 10_000) + " }}", "A"),
    ])
    func takesLongChains(template: String, text: String) throws {
        #expect(try ChatTemplate(template).render(messages: []).text == text)
    }

    @Test func takesManyNames() throws {
        let names = (0..<10_000).map { "{% set a\($0) = \($0) %}" }.joined()
        #expect(try ChatTemplate(names + "{{ a0 }}{{ a9999 }}").render(messages: []).text == "09999")
        let arguments = (0..<10_000).map { "a\($0)=1" }.joined(separator: ", ")
        for source in ["{{ f(\(arguments)) }}", "{% macro m(\(arguments)) %}{% endmacro %}"] {
            #expect(throws: ChatTemplateError.self) { try ChatTemplate(source) }
        }
    }

    // Ends of the whole numbers.
    @Test(arguments: [
        ("{{ range(9223372036854775806, 9223372036854775807) | list }}", "[9223372036854775806]"),
        ("{{ 'abc'[-9223372036854775807:9223372036854775807] }}", "abc"),
        ("{{ 'abc'[::9223372036854775807] }}", "a"), ("{{ 'abc'[::-9223372036854775807] }}", "c"),
        ("{{ 'abc'.center(-9223372036854775807 - 1) }}", "abc"),
        ("{{ 'a'.zfill(-9223372036854775807 - 1) }}", "a"),
        ("{{ [1][9223372036854775807] }}", ""), ("{{ [1][-9223372036854775807] }}", ""),
        ("{{ 'abc'[-9223372036854775807] }}", ""), ("{{ range(3)[-9223372036854775807] }}", ""),
        ("{{ 'abc'.find('b', -9223372036854775807) }}", "1"),
        ("{{ 'abc'.find('b', 9223372036854775807) }}", "-1"),
        ("{{ (-9223372036854775807 - 1) % -1 }}", "0"),
        ("{{ 9223372036854775807 == 9223372036854775808.0 }}", "False"),
        ("{{ 'a' * -9223372036854775807 }}", ""), ("{{ 1.5 | round(9223372036854775807) }}", "1.5"),
    ])
    func endsOfNumbers(template: String, text: String) throws {
        #expect(try ChatTemplate(template).render(messages: []).text == text)
    }
}
