import Foundation
import LigerText
import TestSupport
import Testing

/// Templates of models' folders.
@Suite struct ChatTemplateFolderTests {
    private func folder(_ files: [String: String]) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for (name, text) in files {
            let url = folder.url.appendingPathComponent(name)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: url)
        }
        return folder
    }

    private func text(
        _ files: [String: String], tools: [JSONValue]? = nil, variables: [String: JSONValue] = [:]
    ) throws -> String? {
        let folder = try folder(files)
        return try ChatTemplate(folder: folder.url)?.render(messages: [], tools: tools, variables: variables)
            .text
    }

    @Test func findsTheTemplate() throws {
        #expect(try text([:]) == nil)
        #expect(try text(["tokenizer_config.json": #"{"bos_token": "<s>"}"#]) == nil)
        #expect(try text(["tokenizer_config.json": #"{"chat_template": null}"#]) == nil)
        #expect(try text(["tokenizer_config.json": #"{"chat_template": "c"}"#]) == "c")
        #expect(
            try text(["tokenizer_config.json": #"{"chat_template": "c"}"#, "chat_template.jinja": "j\n"])
                == "j")
    }

    /// An adapter's folder may have a template and no tokenizer: the tokens are the model's then.
    @Test func tokensOfTheModelStandInForOwnOnes() throws {
        let model = try folder(["tokenizer_config.json": #"{"bos_token": "<s>", "eos_token": "</s>"}"#])
        let template = "{{ bos_token }}{{ eos_token }}"
        func text(_ own: String?) throws -> String? {
            let adapter = try folder(
                ["chat_template.jinja": template].merging(own.map { ["tokenizer_config.json": $0] } ?? [:]) {
                    $1
                })
            return try ChatTemplate(folder: adapter.url, of: model.url)?.render(messages: []).text
        }
        #expect(try text(nil) == "<s></s>")
        #expect(try text(#"{"bos_token": "<b>"}"#) == "<b></s>")
        #expect(
            try ChatTemplate(template, name: "given", of: model.url).render(messages: []).text == "<s></s>")
    }

    @Test func choosesAmongSeveral() throws {
        let list =
            #"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#
        #expect(try text(["tokenizer_config.json": list]) == "d")
        #expect(try text(["tokenizer_config.json": list], tools: []) == "t")
        let files = ["chat_template.jinja": "j", "additional_chat_templates/tool_use.jinja": "u"]
        #expect(try text(files) == "j")
        #expect(try text(files, tools: []) == "u")
    }

    @Test func givesSpecialTokens() throws {
        let template = ["chat_template.jinja": "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}"]
        var configuration =
            #"{"bos_token": {"content": "<b>", "lstrip": false}, "eos_token": "<e>", "pad_token": null}"#
        #expect(try text(template.merging(["tokenizer_config.json": configuration]) { $1 }) == "<b><e>False")
        #expect(
            try text(
                template.merging(["tokenizer_config.json": configuration]) { $1 },
                variables: ["bos_token": "!"])
                == "!<e>False")
        let map = ["special_tokens_map.json": #"{"eos_token": {"content": "<m>"}, "pad_token": "<p>"}"#]
        #expect(try text(template.merging(map) { $1 }) == "<m>True")
        configuration = #"{"bos_token": "<b>", "eos_token": "<e>", "added_tokens_decoder": {}}"#
        let both = template.merging(map) { $1 }.merging(["tokenizer_config.json": configuration]) { $1 }
        #expect(try text(both) == "<b><e>False")
    }

    @Test(arguments: [
        ["tokenizer_config.json": "["], ["tokenizer_config.json": "[]"],
        ["tokenizer_config.json": #"{"chat_template": 1}"#],
        ["tokenizer_config.json": #"{"chat_template": [1]}"#],
        ["tokenizer_config.json": #"{"chat_template": [{"name": "default"}]}"#],
        ["tokenizer_config.json": #"{"chat_template": "c", "bos_token": 1}"#],
        ["tokenizer_config.json": #"{"chat_template": "c", "bos_token": {}}"#],
        ["chat_template.jinja/file": "x"], ["chat_template.jinja": "x", "special_tokens_map.json": "1"],
    ])
    func saysWhichFileIsWrong(files: [String: String]) throws {
        let folder = try folder(files)
        let error = try #require(throws: ChatTemplateError.self) { try ChatTemplate(folder: folder.url) }
        #expect(error.kind == .unreadable)
        #expect("\(error)".contains(folder.url.lastPathComponent))
    }

    @Test func refusesBytesThatAreNoText() throws {
        let folder = try folder([:])
        try Data([0x61, 0xFF]).write(to: folder.file("chat_template.jinja"))
        let error = try #require(throws: ChatTemplateError.self) { try ChatTemplate(folder: folder.url) }
        #expect(error.found == "bytes that are not UTF-8")
    }

    @Test func namesTheFileOfAFault() throws {
        let folder = try folder([
            "tokenizer_config.json": #"{"chat_template": [{"name": "a", "template": "t"}]}"#
        ])
        #expect(throws: ChatTemplateError.self) { try ChatTemplate(folder: folder.url) }
        let other = try self.folder(["tokenizer_config.json": #"{"chat_template": "{{ 1 | x }}"}"#])
        let error = try #require(throws: ChatTemplateError.self) { try ChatTemplate(folder: other.url) }
        #expect(error.source.hasSuffix("tokenizer_config.json, chat_template"))
        #expect(error.column == 8)
    }
}

/// Dates that templates print.
@Suite struct ChatDateTests {
    @Test(arguments: [
        "2026-02-29", "2026-13-01", "2026-00-01", "2026-04-31", "1900-02-29", "2026-1-1", "x", "",
        "2026-01-01T24:00:00", "2026-01-01T1:2:3", "2026-01-01T", "２０２６-01-01",
    ])
    func refuses(_ text: String) { #expect(ChatDate(text) == nil) }

    @Test(arguments: ["2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31", "2026-07-31T18:05:00"])
    func describesItself(_ text: String) { #expect(ChatDate(text)?.description == text) }
}
