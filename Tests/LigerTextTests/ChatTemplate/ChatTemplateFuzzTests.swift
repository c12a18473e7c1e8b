import Foundation
import LigerText
import TestSupport
import Testing

/// Mutated templates of all families are rendered or refused, and never end the process.
@Suite struct ChatTemplateFuzzTests {
    private static let splices = [
        "{%", "%}", "{{", "}}", "{#", "#}", "-", "+", "(", ")", "[", "]", "{", "}", "|", "~", "'", "\"", "\\",
        ".", ",", ":", "::-1", "**", "//", "%", " * 99999999", " - 9223372036854775807",
        " if ", " else ", " for ", " in ", " not ", " is ", " and ", "{% endif %}", "{% endfor %}",
        "{% endmacro %}", "{% set x %}", "{% break %}", "{% generation %}", "{% macro m(a) %}", "{{ m(1) }}",
        "range(99999)", "messages", "loop", "namespace", "none", "-1", "0", "1e308", "9223372036854775807",
        " * 3", "[::-1]", "['role']", "|tojson(indent=9)", "|map('map')", "|sort", "|int", "|join", "|list",
        "|reverse", ".items()", ".split('')", ".format(1)", "'%s%d' % ", "\u{0}", "\u{301}", "\u{1F577}",
        "\r\n", "{% raw %}", "varargs", "|selectattr('a.0')", "|round(-9)", "|unique", ".center(99)",
        "|indent(-1)", "[9:-9:-3]",
    ].map { Array($0.utf8) }

    private static let cases = ChatFamilies.cases + ChatExpressions.cases + ChatStatements.cases

    private static func mutate(_ text: String, _ random: inout SeededGenerator) -> String {
        var bytes = Array(text.utf8)
        for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            let start = Int.random(in: 0..<bytes.count, using: &random)
            let end = min(bytes.count, start + Int.random(in: 1...16, using: &random))
            let splice = splices.randomElement(using: &random) ?? []
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bytes[start] = UInt8.random(in: 0x20...0x7E, using: &random)
            case 1: bytes.removeSubrange(start..<end)
            case 2: bytes.insert(contentsOf: bytes[start..<end], at: start)
            case 3: bytes.replaceSubrange(start..<end, with: splice)
            case 4, 5: bytes.insert(contentsOf: splice, at: start)
            default:
                let other = Int.random(in: 0..<bytes.count, using: &random)
                bytes.swapAt(start, other)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// How many mutations each seed has: more by LIGER_FUZZ.
    private static let count = ProcessInfo.processInfo.environment["LIGER_FUZZ"].flatMap { Int($0) } ?? 1500

    @Test(arguments: [1, 2] as [UInt64]) func mutatedTemplates(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var limits = ChatTemplate.Limits()
        (limits.steps, limits.bytes, limits.textBytes) = (20_000, 1 << 20, 1 << 18)
        var counts: [String: Int] = [:]
        for _ in 0..<Self.count {
            var item = try #require(Self.cases.randomElement(using: &random))
            item.template = Self.mutate(item.template, &random)
            do {
                let rendering = try item.render(limits: limits)
                #expect(rendering.generated.allSatisfy { $0.upperBound <= rendering.text.utf8.count })
                counts["rendered", default: 0] += 1
            } catch let error as ChatTemplateError {
                #expect(error.line != nil, "seed \(seed): \(error)")
                counts["\(error.kind)", default: 0] += 1
            }
        }
        print("seed \(seed): \(counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" })")
        // All ends must be met, or the mutations are too mild or too wild.
        for end in ["rendered", "malformed", "unsupported", "failed"] {
            #expect(counts[end] ?? 0 > 0, "\(end)")
        }
    }
}
